"""A tracker that is down or slow costs no result: runs that it did not accept are written beside the results.

`python -m cluster.tracking OUT` uploads it, with `--tracking-uri` where the tracker is another one.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import join
from typing import Any

from aman.errors import DataError, UsageError, UserError
from aman.tables import write_json
from cluster.tracking.client import Patience
from cluster.tracking.log import log_runs
from cluster.tracking.record import RunRecord, tracking_uri, without_password

NOT_LOGGED = "not_logged.json"
"""File beside a run: all that its tracker did not accept."""
PAUSES = (1.0, 4.0)
"""Seconds before each attempt after the first."""
PATIENCE, PATIENCE_A_RUN = 60.0, 1.0
"""Seconds that a tracker may cost a job, and more for every run that it takes: a usable one needs less for it."""


def log_or_keep(
    uri: str, parent: RunRecord, children: Sequence[RunRecord], out: Path, say: Callable[[str], None]
) -> str | None:
    """Log a benchmark and its configurations; the parent's id. Where the tracker fails, or takes longer than anybody
    should wait, the records go to a file in `out`, `say` is told how to upload them, and it is None."""
    patience = Patience(PATIENCE, PATIENCE_A_RUN)
    for pause in (*PAUSES, None):
        try:
            run_id = log_runs(uri, parent, children, patience)
        except UsageError:
            raise
        except Exception as error:  # whatever the tracker's trouble is, the results are on disk
            if pause is None or _refused(error) or patience.ends_in(pause):
                say(_keep(uri, parent, children, out, error))
                return None
            time.sleep(pause)
        else:
            (out / NOT_LOGGED).unlink(missing_ok=True)
            return run_id
    raise AssertionError("the last attempt returns")


def upload(out: Path, uri: str) -> str:
    """Log what is in the folder's file and remove that; the parent's id. What the tracker has by now is not logged
    again. `DataError` for a folder without the file or its artifacts, `UsageError` for a tracker that fails."""
    path = out / NOT_LOGGED
    try:
        kept = json.loads(path.read_text())
        parent, *children = [_record(values, out) for values in (kept["parent"], *kept["children"])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            got=f"{path}, which cannot be read ({getattr(error, 'strerror', None) or 'it holds no records of runs'})",
            expected="what a job wrote whose tracker did not answer",
            fix="name that job's --out; where it was logged since there is no such file",
        ) from None
    for record in (parent, *children):
        for file in (*record.artifacts, *record.tables):
            if not file.is_file():
                raise DataError(got=f"no file {file}", expected="the files of the run", fix="run the job again")
    try:
        run_id = log_runs(uri, parent, children)
    except UsageError:
        raise
    except Exception as error:
        uri = tracking_uri(uri)
        raise UsageError(
            got=f"the tracker {without_password(uri, uri)}, which failed ({_why(error, uri)})",
            expected="one that answers",
            fix=f"try again later: {path} stays",
        ) from None
    path.unlink()
    return run_id


def _keep(uri: str, parent: RunRecord, children: Sequence[RunRecord], out: Path, error: Exception) -> str:
    """Write the records; the line that says so."""
    real = tracking_uri(uri)
    shown, why = without_password(real, real), _why(error, real)
    try:
        kept = [_values(record, out) for record in (parent, *children)]
        write_json(out / NOT_LOGGED, {"why": why, "parent": kept[0], "children": kept[1:]})
    except UsageError as unwritable:
        return f"warning: not logged, the tracker {shown} failed ({why}), and it was not kept: {unwritable.got}"
    # A URI with a password comes from the environment, and will again.
    named = [] if shown != real else ["--tracking-uri", shown]
    command = join(["python", "-m", "cluster.tracking", str(out), *named])
    return f"warning: not logged, the tracker {shown} failed ({why}); upload it later: {command}"


def _values(record: RunRecord, out: Path) -> dict[str, Any]:
    """A record as JSON takes it; files in the run's folder are named from there, so that it can be moved."""
    values = asdict(record)
    values["parameters"] = {name: str(value) for name, value in record.parameters.items()}
    for name in ("artifacts", "tables"):
        files = [Path(file).absolute() for file in values[name]]
        home = out.absolute()
        values[name] = [str(file.relative_to(home) if file.is_relative_to(home) else file) for file in files]
    return values


def _record(values: Mapping[str, Any], out: Path) -> RunRecord:
    files = {name: [out / file for file in values[name]] for name in ("artifacts", "tables")}
    return RunRecord(**{**values, **files})


def _refused(error: Exception) -> bool:
    """Whether the tracker answered that it will not: a wrong password is wrong a second later, too."""
    status = getattr(error, "get_http_status_code", lambda: 500)()
    return 400 <= status < 500 and status not in (408, 429)


def _why(error: Exception, uri: str) -> str:
    return without_password((str(error).splitlines() or [type(error).__name__])[0], uri)


def main() -> None:
    """Upload what is beside a run."""
    parser = argparse.ArgumentParser(prog="python -m cluster.tracking", description=__doc__)
    parser.add_argument("out", type=Path, help=f"folder of a run, with {NOT_LOGGED}")
    parser.add_argument("--tracking-uri", default="", help="as of the jobs (default: $MLFLOW_TRACKING_URI, or runs/)")
    given = parser.parse_args()
    try:
        run_id = upload(given.out, given.tracking_uri)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.code)
    sys.stdout.write(f"logged as {run_id}\n")
