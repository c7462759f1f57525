"""Runs to MLflow: one alone, or a parent with its children."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from cluster.tracking.client import Patience, TrackerClient
from cluster.tracking.record import NONE, RunRecord, sqlite_file, tracking_uri, without_password


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
    return parent_id


def next_steps(uri: str, *more: str) -> str:
    """What a user does next, in one line: `more`, and the command that shows the runs, unless nothing was logged."""
    return f"Next: {'; '.join([*more, *([] if tracking_uri(uri) == NONE else [next_command(uri)])])}"


def next_command(uri: str) -> str:
    """What a user types to look at the runs."""
    uri = tracking_uri(uri)
    shown = without_password(uri, uri)
    return f"open {shown}" if uri.startswith("http") else f".venv/bin/mlflow ui --backend-store-uri {shown}"
