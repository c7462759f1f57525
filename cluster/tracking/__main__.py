"""`python -m cluster.tracking OUT`: upload what MLflow did not take of a run.

A job starts the same program, with `--patience`, to tell a server of its runs.
"""

import argparse
import os
import resource
import sys
import threading
from pathlib import Path

from aman.errors import UserError
from cluster.machines.starting import collect_less
from cluster.tracking.client import Patience
from cluster.tracking.pending import NOT_LOGGED, kept_in, log_patiently, upload, why
from cluster.tracking.process import FAILED, LOGGED, TAKEN
from cluster.tracking.record import tracking_uri

MEMORY = 2 * 2**30
"""Bytes that a server's answers may take here at most."""


class Told(Patience):
    """Patience that tells the job of every run that the server took."""

    def earn(self) -> None:
        super().earn()
        tell(TAKEN)


def tell(*words: str) -> None:
    """A line to the job."""
    sys.stdout.write(f"{' '.join(words)}\n")
    sys.stdout.flush()


def log_for_job(out: Path, seconds: float, seconds_a_run: float) -> None:
    """Log the folder's runs; one line that says how it went. Ends with the job that started it."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    threading.Thread(target=lambda: sys.stdin.read() == "" and os._exit(1), daemon=True).start()
    uri = tracking_uri("")
    try:
        parent, children = kept_in(out)
        tell(LOGGED, log_patiently("", parent, children, Told(seconds, seconds_a_run)))
    except Exception as error:
        tell(FAILED, why(error, uri))
    os._exit(0)  # threads that still wait for an answer are not waited for


def main() -> None:
    """Upload what is beside a run."""
    collect_less()
    parser = argparse.ArgumentParser(prog="python -m cluster.tracking", description=__doc__)
    parser.add_argument("out", type=Path, help=f"folder of a run, with {NOT_LOGGED}")
    parser.add_argument("--tracking-uri", default="", help="as of the jobs (default: $MLFLOW_TRACKING_URI, or runs/)")
    parser.add_argument("--patience", type=float, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.patience:
        log_for_job(given.out, *given.patience)
    try:
        run_id = upload(given.out, given.tracking_uri)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.code)
    sys.stdout.write(f"logged as {run_id}\n")


if __name__ == "__main__":
    main()
