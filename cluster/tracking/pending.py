"""A tracker that is down or slow costs no result: runs that it did not accept are written beside the results.

`python -m cluster.tracking OUT` uploads them, with `--tracking-uri` where the tracker is another one.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from shlex import join
from typing import Any

from aman.errors import DataError, UsageError
from aman.tables import write_json
from cluster.tracking.client import Patience
from cluster.tracking.log import log_runs
from cluster.tracking.process import log_in_process_of_its_own
from cluster.tracking.record import NONE, RunRecord, sqlite_file, tracking_uri, without_password
from cluster.tracking.there import finished_run

NOT_LOGGED = "not_logged.json"
"""File beside a run: all that its tracker did not accept."""
PAUSES = (1.0, 4.0)
"""Seconds before each attempt after the first."""
LONGEST_REASON = 300
"""Longest error message of a tracker, in characters, that is printed and stored; the rest is cut off."""
PATIENCE, PATIENCE_A_RUN = 45.0, 1.0
"""Seconds that a tracker may cost a job, and more for every run that it takes: a usable one needs less for it."""


def log_or_keep(
    uri: str, parent: RunRecord, children: Sequence[RunRecord], out: Path, say: Callable[[str], None]
) -> str | None:
    """Log a benchmark and its configurations. Returns the id of the benchmark's run.

    Returns None where the tracker fails, or takes longer than anybody should wait: the records are then in a file in
    `out`, and `say` is told how to upload them. Returns None as well where `uri` is `NONE`: nothing is logged, and a
    file that an earlier job left in `out` stays.

    A server is told by a process of its own, which ends with the patience: nothing that a server answers, however late
    or much, holds this one.
    """
    try:
        uri = tracking_uri(uri)
        if uri == NONE:
            return None
        if (file := sqlite_file(uri)) is not None:
            run_id = finished_run(file, parent, children) or log_patiently(
                uri, parent, children, Patience(PATIENCE, PATIENCE_A_RUN)
            )
        else:
            keep(uri, parent, children, out, "it was not asked to the end")
            run_id = log_in_process_of_its_own(out, uri, PATIENCE, PATIENCE_A_RUN)
    except UsageError:
        raise
    except Exception as error:  # whatever the tracker's trouble is, the results are on disk
        say(keep(uri, parent, children, out, why(error, uri)))
        return None
    (out / NOT_LOGGED).unlink(missing_ok=True)
    return run_id


def log_patiently(uri: str, parent: RunRecord, children: Sequence[RunRecord], patience: Patience) -> str:
    """Log, and try again after a pause where the tracker fails without refusing; the parent's id."""
    for pause in PAUSES:
        try:
            return log_runs(uri, parent, children, patience)
        except UsageError:
            raise
        except Exception as error:
            if _refused(error) or patience.ends_in(pause):
                raise
            time.sleep(pause)
    return log_runs(uri, parent, children, patience)


def upload(out: Path, uri: str) -> str:
    """Log what is in the folder's file and remove that; the parent's id. What the tracker has by now is not logged
    again. `DataError` for a folder without the file or its artifacts, `UsageError` for a tracker that fails."""
    parent, children = kept_in(out)
    if tracking_uri(uri) == NONE:
        raise UsageError(got=f"{NONE} as a tracker", expected="one that can be told of a run", fix="name it")
    try:
        run_id = log_runs(uri, parent, children)
    except UsageError:
        raise
    except Exception as error:
        uri = tracking_uri(uri)
        raise UsageError(
            got=f"the tracker {without_password(uri, uri)}, which failed ({why(error, uri)})",
            expected="one that answers",
            fix=f"try again later: {out / NOT_LOGGED} stays",
        ) from None
    (out / NOT_LOGGED).unlink()
    return run_id


def kept_in(out: Path) -> tuple[RunRecord, list[RunRecord]]:
    """A parent and its children from the folder's file. `DataError` where it or one of the files it names is not
    there or holds something else."""
    path = out / NOT_LOGGED
    try:
        kept = json.loads(path.read_text())
        parent, *children = [_record(values, out) for values in (kept["parent"], *kept["children"])]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            got=f"{path}, which cannot be read ({getattr(error, 'strerror', None) or 'it holds no records of runs'})",
            expected="what a job wrote whose tracker did not answer",
            fix="name that job's --out; where it was logged since there is no such file",
        ) from None
    for record in (parent, *children):
        for file in (*record.artifacts, *record.tables):
            if not file.is_file():
                raise DataError(got=f"no file {file}", expected="the files of the run", fix="run the job again")
    return parent, children


def keep(uri: str, parent: RunRecord, children: Sequence[RunRecord], out: Path, reason: str) -> str:
    """Write the records and why they are not logged; the line that says so."""
    shown = without_password(uri, uri)
    try:
        kept = [_values(record, out) for record in (parent, *children)]
        write_json(out / NOT_LOGGED, {"why": reason, "parent": kept[0], "children": kept[1:]})
    except UsageError as unwritable:
        return f"warning: not logged, the tracker {shown} failed ({reason}), and it was not kept: {unwritable.got}"
    # A URI with a password comes from the environment, and will again.
    named = [] if shown != uri else ["--tracking-uri", shown]
    command = join(["python", "-m", "cluster.tracking", str(out), *named])
    return f"warning: not logged, the tracker {shown} failed ({reason}); upload it later: {command}"


def _values(record: RunRecord, out: Path) -> dict[str, Any]:
    """A record as JSON takes it; files in the run's folder are named from there, so that it can be moved."""
    values: dict[str, Any] = asdict(record)
    values["parameters"] = {name: str(value) for name, value in record.parameters.items()}
    for name in ("artifacts", "tables"):
        files = [Path(file).absolute() for file in values[name]]
        home = out.absolute()
        values[name] = [str(file.relative_to(home) if file.is_relative_to(home) else file) for file in files]
    return values


def _record(values: Mapping[str, Any], out: Path) -> RunRecord:
    files: dict[str, Any] = {name: [out / file for file in values[name]] for name in ("artifacts", "tables")}
    return RunRecord(**{**values, **files})


def _refused(error: Exception) -> bool:
    """Whether the tracker answered that it will not: a wrong password is wrong a second later, too."""
    status = getattr(error, "get_http_status_code", lambda: 500)()
    return 400 <= status < 500 and status not in (408, 429)


def why(error: Exception, uri: str) -> str:
    """The first line of an error, as a terminal takes it and without a password."""
    line = (str(error).splitlines() or [""])[0].strip() or type(error).__name__
    shown = "".join(letter if letter.isprintable() else " " for letter in line[:LONGEST_REASON])
    return without_password(shown, uri)
