"""Prepare a database alone: align, interpolate, magnify and cache every clip of a protocol; no fold is trained.

Laptop: `python jobs/prepare.py --database casme2 --root /data/CASMEII`.

Cluster: `ray job submit -- python jobs/prepare.py --database casme2 --root /data/CASMEII --store s3://bucket/cache`.

Time: `--plan` estimates it. Run again to go on: what is cached is not computed again, and jobs/loso.py with the same
settings finds it done.
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
    """Plan, prepare what is missing, tell."""
    begun = perf_counter()
    from aman.tables import write_json
    from cluster.experiment import write as results
    from cluster.experiment.plan import make_plan
    from cluster.experiment.run import prepare_all
    from jobs.synthesize import ensure_database

    if not ensure_database(options.database, options.root, options.plan):
        return DONE
    plan = make_plan(options.request())
    say(results.plan_text(plan))
    wanted = plan.clips_without_features()
    if options.plan:
        say(f"{len(wanted)} clips would be prepared; nothing was started")
        return DONE
    report = prepare_all(plan, say)
    if options.json:
        result = {
            "protocol": plan.selection.protocol.name,
            "fingerprint": plan.selection.fingerprint,
            "clips": len(plan.clips),
            "computed_clips": report.computed,
            "images": report.magnified,
            "failed": {one.clip_id: str(one.error) for one in report.failed},
            "seconds": round(perf_counter() - begun, 2),
        }
        write_json(options.json, result)
    say(f"done in {perf_counter() - begun:.0f} s: {report.computed} of {len(plan.clips)} clips computed")
    if report.failed:
        say(f"Next: mend the {len(report.failed)} clips that are named above and run the same command")
        return DataError.code
    say(f"Next: python jobs/loso.py --database {options.database} with the same settings")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
