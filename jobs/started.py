"""How a job names other jobs: as it was started itself, by `python jobs/NAME.py` or by the command `aman NAME`.

Texts of this project write `python jobs/NAME.py`, and what is printed is what this user can type.
"""

import re
import shutil
import sys
from pathlib import Path
from shlex import quote

COMMAND = "aman"
STARTED = re.compile(rf"(?P<command>.*\b{COMMAND}) [\w-]+")
"""The first argument of a process that the command started, as `started_by` writes it."""
NAMED = re.compile(r"(?P<submitted>-- )?(?:(?P<python>python)\s+)?\bjobs/(?P<job>[a-z_]+)\.py\b")
"""A job as texts name it, behind `ray job submit -- ` too."""


def started_by(program: str, job: str) -> str:
    """What the user typed to start this job with the command: `program` is its path, as the shell gives it. The name
    alone is enough where the shell finds it."""
    found = shutil.which(COMMAND)
    elsewhere = Path(program).name == COMMAND and (not found or Path(found).resolve() != Path(program).resolve())
    typed = quote(program) if elsewhere else COMMAND
    return f"{typed} {job}"


def program() -> str:
    """How this job was started, as its usage and tyro's errors name it: `.venv/bin/python jobs/loso.py`."""
    start = sys.argv[0]
    return f"{quote(sys.orig_argv[0])} {quote(start)}" if Path(start).parent.name == "jobs" else start


def as_started(text: str) -> str:
    """The text with its jobs in the form in which this process was started.

    After `aman loso` it has `aman report` for `python jobs/report.py` and for `jobs/report.py`. After `.venv/bin/python
    jobs/loso.py` it has `.venv/bin/python jobs/report.py`, and a job that is submitted to a cluster keeps its words:
    another Python runs it there. A text without a job is given back itself: a step of a progress bar stays one.
    """
    if not NAMED.search(text):
        return text
    if command := STARTED.fullmatch(sys.argv[0]):
        return NAMED.sub(lambda one: f"{one['submitted'] or ''}{command['command']} {one['job']}", text)
    folder = Path(sys.argv[0]).parent
    if folder.name != "jobs":
        return text
    typed = f"{quote(sys.orig_argv[0])} {quote(str(folder))}"
    return NAMED.sub(lambda one: f"{typed}/{one['job']}.py" if one["python"] and not one["submitted"] else one[0], text)
