"""The whole paper in one command: Tables 1 to 3 and Figure 3, for every database given, from one queue of folds.

Laptop: `python jobs/paper.py` (synthetic database, recipe `small`), or with `--database casme2 samm smic --root
/data/CASMEII /data/SAMM /data/SMIC`.

Cluster: `ray job submit -- python jobs/paper.py --database casme2 --root s3://bucket/CASMEII --seeds 3`.

Table 1 is k = 7 to 11, Figure 3 n = 1 to 20, Table 3 the two attentions; Table 2 stands in the report beside what the
paper prints, with the level ceiling chosen by inner folds too. `--only table1` takes a part, `--plan` says trainings,
hours and cost. Time: ten to fifteen minutes for the synthetic database on two cores, half a minute the second time:
what is finished is not computed again. The paper has 75.40 % on CASME II, 68.85 % on SAMM, 79.87 % on SMIC-HS.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from aman.training.settings import ApexRule
from jobs.command_line import run_job
from jobs.paper_tables import TablesOptions, fill
from jobs.several import find_methods, rule_of

Part = Literal["table1", "table2", "table3", "figure3", "inner", "fixed"]


@dataclass(frozen=True, kw_only=True)
class Options(TablesOptions):
    """Options of paper."""

    only: tuple[Part, ...] = ()
    """Parts of the paper; `inner` and `fixed` are the rows of Table 2 whose k, or whose one fixed level, inner folds
    choose. Empty: all."""
    methods: tuple[str, ...] = ()
    """Other methods to train too, with their own settings, for a row of ours under each printed one of Table 2: names
    of methods, .py files, or `all`. Empty: none, for the page of the job `report` has every method that was run."""
    apex: ApexRule = "sheet"
    """How those of --methods that look at the apex find it. AMAN looks at no apex."""


def main(options: Options) -> int:
    """All parts, or some."""
    others = find_methods(options.methods, "--methods") if options.methods else []
    others = [one for one in others if one.name != options.settings.method.name]
    return fill(options, "paper", options.only or get_args(Part), others, rule_of(options.apex, others))


if __name__ == "__main__":
    run_job(Options, main, __doc__)
