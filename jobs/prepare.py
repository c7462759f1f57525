"""Prepare a database alone: make and cache every input of a method for every clip of a protocol; no fold is trained.

Laptop: `python jobs/prepare.py --database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/prepare.py --database casme2 --root /data/CASMEII --store s3://bucket/cache`.

Time: `--plan --measure` estimates it. Run again to go on: what is cached is not computed again, and jobs/loso.py with
these settings finds it done.
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from aman.errors import DataError
from jobs.command_line import DONE, BenchmarkOptions, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(BenchmarkOptions):
    """Options of prepare."""

    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Plan, prepare what is missing, report."""
    begun = perf_counter()
    from aman.making import ensure_database
    from aman.tables import write_json
    from cluster.experiment.estimate import estimate_text
    from cluster.experiment.grid import plan_experiment
    from cluster.experiment.run import prepare_all
    from cluster.experiment.texts import plan_text

    if not ensure_database(options.one_database, " ".join(options.root), options.plan, say):
        return DONE
    experiment = plan_experiment(options.request())
    plan = experiment.first
    say(plan_text(experiment, train=False))
    if options.plan:
        say(estimate_text(experiment, train=False, measuring=options.measure))
        return DONE
    report, clips = prepare_all(experiment, say)
    if options.json:
        result = {
            "protocol": plan.selection.protocol.name,
            "fingerprint": plan.selection.fingerprint,
            "clips": clips,
            "computed_clips": report.computed,
            "made": dict(report.made),
            "failed": {one.clip_id: str(one.error) for one in report.failed},
            "seconds": round(perf_counter() - begun, 2),
        }
        write_json(options.json, result)
    say(f"done in {perf_counter() - begun:.0f} s: {report.computed} of {clips} clips computed")
    if report.failed:
        say(f"Next: correct the {len(report.failed)} clips that are named above and run the same command")
        return DataError.code
    say(f"Next: python jobs/loso.py --database {' '.join(options.database)} with the same settings")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
