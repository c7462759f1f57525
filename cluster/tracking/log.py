"""Runs to MLflow: one alone, or a parent with its children."""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shlex import quote

from cluster.tracking.client import Patience, TrackerClient
from cluster.tracking.record import RunRecord, sqlite_file, tracking_uri, without_password

SERVED = "http://127.0.0.1:5000"
"""Where `mlflow ui` serves when no port is named."""


def log_runs(uri: str, parent: RunRecord, children: Sequence[RunRecord], patience: Patience | None = None) -> str:
    """Log a benchmark and its configurations, each under the parent; the parent's id.

    What a finished run holds already, by its key, is not logged again; an unfinished one, whose driver was killed, is
    finished. Of a run under a parent the key counts under that parent. When patience has ended nothing more is asked of
    the tracker: `TimeoutError`.
    """
    uri = tracking_uri(uri)
    tracker = TrackerClient(uri, sqlite_file(uri), patience or Patience())
    parent_id = tracker.log(parent, None, tracker.known(parent.experiment, None, parent.key).get(parent.key))
    known = {name: tracker.known(name, parent_id) for name in {child.experiment for child in children}}
    with ThreadPoolExecutor(tracker.at_once) as pool:
        for _ in pool.map(
            lambda child: tracker.log(child, parent_id, known[child.experiment].get(child.key)), children
        ):
            pass
    for name in {parent.experiment, *known}:
        tracker.show_differences(name)
    return parent_id


def next_steps(uri: str, run_id: str | None, *more: str) -> str:
    """What a user does next, in one line: `more`, and how to look at the run in MLflow, unless it was not logged."""
    return f"Next: {'; '.join([*more, *([] if run_id is None else [next_command(uri, run_id)])])}"


def next_command(uri: str, run_id: str) -> str:
    """What a user types to look at a run: the whole address of its page, and before that the command that serves
    MLflow's file where there is no server."""
    uri = tracking_uri(uri)
    shown = without_password(uri, uri)
    if uri.startswith("http"):
        return f"open {shown.rstrip('/')}/#/runs/{run_id}"
    return f"{quote(_mlflow())} ui --backend-store-uri {quote(shown)}, then open {SERVED}/#/runs/{run_id}"


def _mlflow() -> str:
    """MLflow's program beside this Python, as a user types it in this folder."""
    program, home = Path(sys.executable).with_name("mlflow"), Path.cwd()
    return str(program.relative_to(home) if program.is_relative_to(home) else program)
