"""One page about any set of finished runs: scores, curves, confusion, attention, magnified clips, the paper's tables.

Laptop: `python jobs/report.py` takes every run under runs/ and writes runs/report/report.html, which needs no network,
its tables as .csv and .tex, and its figures as .png, .svg and .pdf. `python jobs/report.py runs/loso --out mine` takes
some runs, and `--compare RUN RUN` tests two runs of the same clips against each other.

Cluster: the same command, on the machine on which the job that made the runs was started.

Time: some seconds for thirty runs. The paper has 75.40 %, 68.85 % and 79.87 % on CASME II, SAMM and SMIC-HS (Table 2).
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Annotated

import tyro

from jobs.command_line import DONE, run_job, say
from jobs.paper_tables import paper_report


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of report."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[RUNS ...]")] = (Path("runs"),)
    """Folders of runs, or folders above them. Without any: runs/."""
    out: Path = Path("runs/report")
    """Folder of the page, its tables and its figures."""
    compare: Annotated[tuple[Path, Path] | None, tyro.conf.arg(metavar="RUN RUN")] = None
    """Folders of two runs of the same clips, to test against each other."""


def main(options: Options) -> int:
    """Read, compare, write."""
    from aman.report.details import compare_runs
    from aman.runs import find_runs, read_run
    from aman.tables import comparison_table

    runs = find_runs(options.runs)
    compared = [compare_runs(*map(read_run, options.compare))] if options.compare else []
    files = paper_report(runs, options.out, compared=compared)
    for one in compared:
        say(comparison_table(one.found, *one.names))
    tables, figures = (sum(path.suffix == ending for path in files) for ending in (".tex", ".png"))
    say(f"{len(runs)} run{'s' * (len(runs) > 1)}, {tables} tables as .csv and .tex, {figures} pictures beside the page")
    say(f"Next: open {quote(str(files[0]))}")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
