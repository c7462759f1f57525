"""What the whole paper leaves behind: a folder a run, which the report is made of, and the runs in MLflow."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.experiment import search_results
from cluster.experiment import write as results
from cluster.experiment.estimate import measure, speed
from cluster.experiment.grid import SearchOutcome
from cluster.experiment.paper import Benchmark, Paper
from cluster.experiment.plan import Plan
from cluster.experiment.score import Outcome, outcome_of
from cluster.store.results import content_key
from cluster.tracking.pending import log_or_keep
from cluster.tracking.record import RunRecord

INNER = "k chosen by inner folds"
"""What the run is called whose level ceiling differs from subject to subject."""


def plan_text(paper: Paper) -> str:
    """What the whole consists of and what of it is there."""
    lines, keys, done = [], set[str](), set[str]()
    for benchmark in paper.benchmarks:
        specs, selection = benchmark.specs(), benchmark.plan.selection
        finished = specs.keys() & benchmark.results.keys()
        keys, done = keys | specs.keys(), done | finished
        lines.append(
            f"{selection.protocol.name}, seed {benchmark.seed}: {len(selection.clips)} clips, {len(selection.subjects)}"
            f" subjects, {len(benchmark.grid.plans)} configurations, fingerprint {selection.fingerprint[:12]};"
            f" {len(specs)} trainings, {len(finished)} done"
        )
        if selection.incomplete:
            lines.append(f"incomplete: {selection.shortfall}")
        lines += [f"not used: {problem}" for problem in benchmark.plan.problems]
    clips = sum(len(plan.clips) for plan in paper.preparations())
    lacking = sum(len(plan.clips_without_features()) for plan in paper.preparations())
    lines.append(
        f"in all: {len(keys)} trainings, {len(done)} done ({_share(len(done), len(keys))});"
        f" {clips} clips to prepare, {clips - lacking} done ({_share(clips - lacking, clips)})"
    )
    return "\n".join(lines)


def estimate_text(paper: Paper, usd_per_gpu_hour: float) -> str:
    """Hours of training and preparation that are left, as a range from what was measured, and what they cost."""
    todo = paper.todo()
    if not todo:
        return "estimate: nothing to compute, some seconds to pool and score"
    longest, classes = todo[0].recipe, len(paper.first.selection.protocol.classes)
    specs = {key: spec for benchmark in paper.benchmarks for key, spec in benchmark.specs().items()}
    done = {key: one for benchmark in paper.benchmarks for key, one in benchmark.results.items() if key in specs}
    rate = speed([(specs[key], one) for key, one in done.items()], longest, classes)
    cost = sum(spec.cost for spec in todo)
    low, high = (cost * each / 3600 for each in (rate.low, rate.high))
    what = "core" if rate.device == "cpu" else "GPU"
    lines = [f"training: {low:.2f} to {high:.2f} {what}-hours for {len(todo)} folds, from {rate.source}"]
    if usd_per_gpu_hour and what == "GPU":
        lines.append(f"cost of it: {low * usd_per_gpu_hour:.2f} to {high * usd_per_gpu_hour:.2f} USD")
    elif what == "core":
        lines.append("no GPU was measured: after one fold on one (jobs/loso.py --subjects ...) this says GPU-hours")
    clips = [clip for plan in paper.preparations() for clip in plan.clips_without_features()]
    if clips:
        seconds = measure(clips, longest, classes).clip * len(clips)
        lines.append(f"preparation: about {seconds / 3600:.2f} core-hours for {len(clips)} clips, measured now")
    return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A run of the paper: a configuration with a seed, or what inner folds chose."""

    benchmark: Benchmark
    folder: Path
    plan: Plan
    outcome: Outcome
    about: results.About


def score_all(paper: Paper, job: str, recipe_name: str, out: Path, failed: dict[str, str]) -> list[Scored]:
    """Every run that has a finished fold, and its folder. Raises `FoldsFailedError` where there is none."""
    found = [one for benchmark in paper.benchmarks for one in _scored(benchmark, job, recipe_name, out)]
    if not found:
        outcome_of(paper.first, 0, 0, failed)
    return found


def write(runs: list[Scored], seconds: float) -> None:
    """The runs' folders. Figures are drawn of a database's base configuration with the first seed. `UsageError` where
    they cannot be written."""
    drawn = set()
    for run in runs:
        protocol, is_base = run.plan.selection.protocol.name, run.plan is run.benchmark.plan
        results.write(run.plan, run.outcome, run.folder, figures=is_base and protocol not in drawn)
        results.write_scores(run.plan, run.outcome, run.folder, run.about, seconds, None, None)
        drawn |= {protocol} if is_base else set()


def track(runs: list[Scored], uri: str, recipe_name: str, out: Path, say: Callable[[str], None]) -> None:
    """In the experiment of every database a parent run, and under it one for each configuration and seed; what the
    tracker does not take is written to the database's folder in `out`."""
    by_protocol: dict[str, list[RunRecord]] = {}
    for run in runs:
        files = sorted(path for path in run.folder.iterdir() if path.is_file())
        about, plan = run.about, run.plan
        tags = {"job": about.job, "selection": about.selection, "stamp": results.HONEST}
        record = results.record_of(plan, run.outcome, files, about.name, recipe_name, **tags)
        by_protocol.setdefault(plan.selection.protocol.name, []).append(record)
    for protocol, children in by_protocol.items():
        job = runs[0].about.job
        key = content_key({job: sorted(child.key for child in children)})
        parent = replace(children[0], name=f"{job} {protocol} {recipe_name}", key=key)
        log_or_keep(uri, parent, children, out / protocol, say)


def _scored(benchmark: Benchmark, job: str, recipe_name: str, out: Path) -> Iterator[Scored]:
    where = out / benchmark.plan.selection.protocol.name
    for plan in benchmark.grid.plans.values():
        if plan.finished:
            yield Scored(
                benchmark=benchmark,
                folder=where / results.run_name(plan, recipe_name),
                plan=plan,
                outcome=outcome_of(plan, 0, 0, {}),
                about=results.About(job=job, name=results.title(plan.request, recipe_name), recipe=recipe_name),
            )
    if benchmark.inner:
        chosen = benchmark.inner.queue(racing=False).chosen()
        found = SearchOutcome(standings={}, chosen=chosen, trained=0, failed={})
        verdict = search_results.verdict(benchmark.inner, found)
        if verdict.outcome:
            about = results.About(
                job=job,
                name=f"{INNER} {recipe_name} s{benchmark.seed}",
                recipe=recipe_name,
                selection="inner",
                chosen=chosen,
            )
            yield Scored(
                benchmark=benchmark,
                folder=where / f"inner-{recipe_name}-s{benchmark.seed}",
                plan=replace(verdict.plan, request=benchmark.plan.request),
                outcome=verdict.outcome,
                about=about,
            )


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "100 %"
