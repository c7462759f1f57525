"""Table 3 of the paper: magnification attention only, frame attention only, and both.

Laptop: `python jobs/ablation.py` (synthetic database, recipe `small`), or with `--database casme2` and its `--root`.

Cluster: `ray job submit -- python jobs/ablation.py --database casme2 samm --root /data/CASMEII /data/SAMM`.

Three trainings for each left-out subject. `jobs/paper.py` has these trainings among its own, and neither job repeats
what the other has trained. Time: about seven minutes for the synthetic database on two cores; `--plan` says it for any
other. The paper has, on CASME II, SAMM and SMIC-HS: magnification attention only 59.19 %, 59.57 %, 64.02 %; frame
attention only 62.71 %, 56.25 %, 62.80 %; both 75.40 %, 68.85 %, 79.87 %.
"""

from dataclasses import dataclass

from jobs.command_line import run_job
from jobs.paper_tables import TablesOptions, fill


@dataclass(frozen=True, kw_only=True)
class Options(TablesOptions):
    """Options of ablation."""


def main(options: Options) -> int:
    """One table alone."""
    return fill(options, "ablation", ("table3",))


if __name__ == "__main__":
    run_job(Options, main, __doc__)
