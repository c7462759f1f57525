"""Where a run comes from: the command, the commit of this code, and the Ray job that it ran as."""

import getpass
import json
import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

from cluster.machines.session import SUBMITTED


def command_line() -> str:
    """The command that this process was started with, as a shell takes it. Jobs take no secret as an option."""
    return shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]])


@cache
def git_commit() -> str:
    """Commit of this checkout, with `+` where files that git knows were changed since; empty outside of one."""
    home = Path(__file__).parents[2]
    if not (home / ".git").exists():
        return ""

    def ask(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(home), *words], capture_output=True, text=True, timeout=20)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        commit = ask("rev-parse", "HEAD")
        return commit + ("+" if commit and ask("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.TimeoutExpired):  # no git, or a disk that does not answer
        return ""


def ray_job() -> str:
    """Id of the submitted Ray job that this process is, as `ray job list` names it; empty where it is none."""
    try:
        return str(json.loads(os.environ.get(SUBMITTED, "{}"))["metadata"]["job_submission_id"])
    except (ValueError, KeyError, TypeError):
        return ""


def tags() -> dict[str, str]:
    """All of that as tags of a run, the commit and the job file under MLflow's own names as well: its UI shows them in
    columns of their own."""
    found = {
        "git_commit": git_commit(),
        "command": command_line(),
        "ray_job": ray_job(),
        "mlflow.source.name": _source(),
        "mlflow.source.type": "JOB" if ray_job() else "LOCAL",
        "mlflow.source.git.commit": git_commit().removesuffix("+"),
        "mlflow.user": _user(),
    }
    return {name: value for name, value in found.items() if value}


def _source() -> str:
    """`jobs/loso.py` where that is what runs, without where it lies."""
    path = Path(sys.argv[0])
    return "/".join(path.parts[-2:]) if path.suffix == ".py" else path.name


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return ""
