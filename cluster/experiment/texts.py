"""Lines for people: names of runs, what an experiment consists of, and the tables at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from aman.inputs.base import stages
from aman.protocols import Selection
from aman.racing import Standing
from aman.tables import group_table, score_table
from aman.versions import edited
from cluster.experiment.grid import Experiment, Grid
from cluster.experiment.plan import TUNED, Plan, Request
from cluster.experiment.score import Outcome
from cluster.experiment.search.choose import SearchOutcome
from cluster.folds.race_queue import NOBODY

SHOWN = 30
"""Configurations that are printed: the best ones. The table has all."""


def title(request: Request, recipe_name: str) -> str:
    """Name of a configuration that says what differs: `k=9 n=11 layer3 official s0`, or, with a setting that is not
    the recipe's, `k=9 n=11 layer3 rate=0.003 official s0`."""
    recipe = request.recipe
    method = recipe.method
    usual = method.describe({"default": method.Settings(), **method.recipes}.get(recipe_name, recipe))
    parts = method.label(recipe)
    for setting, value in method.describe(recipe).items():
        if setting not in method.in_title() and value != usual[setting]:
            parts.append(f"{setting}={Path(value).stem if isinstance(value, str) else value}")
    return " ".join([*parts, *([recipe_name] if recipe_name else []), f"s{request.seed}"])


def what_differs(names: Sequence[str]) -> list[str]:
    """The names without the words that all of them have: `k=7` and `k=8` of `k=7 n=11 s0` and `k=8 n=11 s0`. A list
    shows the beginning of a name only. All names as they are where one would be left without a word."""
    shared = set.intersection(*(set(name.split()) for name in names)) if len(names) > 1 else set[str]()
    shorter = [" ".join(word for word in name.split() if word not in shared) for name in names]
    return shorter if all(shorter) else list(names)


def run_name(plan: Plan, recipe_name: str) -> str:
    """Name of a run's folder, with all that makes another one: `synthetic-k4-n2-layer3-phase-fer2013-quick-s0`."""
    recipe = plan.request.recipe
    parts = [plan.selection.protocol.name, *recipe.method.folder(recipe), recipe_name, f"s{plan.request.seed}"]
    return "-".join(parts)


def plan_text(experiment: Experiment, *, train: bool = True) -> str:
    """What an experiment consists of and what of it is there."""
    lines: list[str] = []
    named = set[str]()
    for grid in experiment.grids:
        protocol = grid.first.selection.protocol.name
        lines += _database_lines(grid) if protocol not in named else []
        lines += _folds_lines(grid) if train else []
        named.add(protocol)
    inputs_used = {one for plan in experiment.preparations() for one in stages(plan.inputs)}
    methods = {type(plan.request.recipe.method) for grid in experiment.grids for plan in grid.plans.values()}
    used = [code for one in inputs_used for code in one.code()]
    lines += [f"edited: {sentence}" for sentence in edited([*used, *methods])]
    specs = {key for grid in experiment.grids for key in grid.specs()}
    done = {key for grid in experiment.grids for key in grid.results}
    needed = not train or bool(experiment.todo())
    plans = experiment.preparations()
    clips = sum(len(plan.clips) for plan in plans)
    lacking = sum(len(some) for _, some in experiment.lacking) if needed else 0
    inputs = ", ".join(dict.fromkeys(one.name for plan in plans for one in plan.inputs))
    each = "clips" if len({plan.inputs for plan in plans}) == 1 else "clips, once for each input"
    lines.append(f"{each}: {clips - lacking} need no preparation, {lacking} to prepare ({inputs})")
    if len(experiment.grids) > 1:
        finished = len(specs & done)
        lines.append(f"in all: {len(specs)} trainings, {finished} done ({_share(finished, len(specs))})")
    return "\n".join(lines)


def _database_lines(grid: Grid) -> list[str]:
    plan = grid.first
    selection = plan.selection
    counts = ", ".join(f"{name} {count}" for name, count in selection.counts().items())
    lines = [
        f"{selection.protocol.name}: {len(selection.clips)} clips ({counts}), {len(selection.subjects)} subjects,"
        f" fingerprint {selection.fingerprint[:12]}",
        *split_lines(selection),
    ]
    if selection.incomplete:
        lines.append(f"incomplete: {selection.shortfall}")
    if selection.excluded:
        lines.append(f"excluded by the protocol: {len(selection.excluded)} clips (jobs/check_database.py names them)")
    lines += [f"not used: {problem}" for problem in plan.problems]
    return [*lines, *(f"remark: {remark}" for remark in plan.remarks)]


def split_lines(selection: Selection) -> list[str]:
    """What is left out together, where that is not every subject once: a line for the rule, and one for each fold."""
    split = selection.split
    if not split.of_groups:
        return []
    lines = [f"split: {split.text}; {len(selection.predicted)} of {len(selection.clips)} clips are predicted"]
    for name in selection.groups:
        fold = selection.fold(name)
        learned, predicted = (len({clip.subject for clip in clips}) for clips in (fold.train, fold.test))
        named = name if name.startswith(split.one) else f"{split.one} {name}"
        lines.append(
            f"  {named}: learns from {len(fold.train)} clips of {learned} subjects, predicts {len(fold.test)} clips of"
            f" {predicted} subjects"
        )
    if both := selection.on_both_sides:
        lines.append(
            f"remark: of {len(both)} subjects some clips are learned from and others predicted"
            f" ({', '.join(both[:3])}{', ...' * (len(both) > 3)}): the scores say little of new subjects"
        )
    return lines


def _folds_lines(grid: Grid) -> list[str]:
    keys = {spec.key for _, _, spec in grid.choosing()}
    done = len(keys & grid.results.keys())
    if grid.choice == "none" and len(grid.plans) + len(grid.left_out) > 1:
        names = ", ".join(grid.plans)
        lines = [f"seed {grid.request.seed}: {len(grid.plans)} methods ({names}), {len(keys)} folds, {done} done"]
        return [*lines, *(f"cannot run here: {name}: {why}" for name, why in grid.left_out.items())]
    if grid.request.whole:
        return [f"one training on all clips: {'done' if done else 'to do'}"]
    if grid.choice == "none":
        return [f"folds: {done} done, {len(keys) - done} to train"]
    count, split = f"{len(keys)} folds", grid.first.selection.split
    one = split.one
    if grid.study is not None:
        most = grid.study.proposals * len(keys) // len(grid.plans)
        count = f"{grid.study.proposals} proposals"
        count += f" for each left-out {one}" if grid.choice == "inner" else ""
        count += f", at most {min(most, len(keys))} folds of {len(keys)}"
    by = "inner folds over the other subjects" if grid.choice == "inner" else f"left-out {split.many} ({TUNED})"
    if split.of_groups and grid.choice == "inner":
        by = "inner folds over the subjects of the training clips"
    lines = [f"seed {grid.request.seed}: {len(grid.plans)} configurations, chosen by {by}: {count}, {done} done"]
    for why, many in Counter(grid.left_out.values()).items():
        lines.append(f"left out: {many} configurations: {why}")
    if grid.choice == "inner":
        lines.append(f"then {len(grid.first.left_out)} folds of the left-out {split.many} with what was chosen")
    return lines


def final_text(plan: Plan, outcome: Outcome, notes: tuple[str, ...] = ()) -> str:
    """The table of a benchmark."""
    said = [*notes, *([f"incomplete: {outcome.incomplete}"] if outcome.incomplete else [])]
    said += [f"fold {group} failed: {why}" for group, why in outcome.failed_folds.items()]
    peek = outcome.epochs > 1
    split, clips = plan.selection.split, len(plan.selection.clips)
    if split.of_groups:
        said.insert(0, f"{split.text}; {outcome.scores.clips} of {clips} clips are predicted")
    if both := plan.selection.on_both_sides:
        said.append(f"of {len(both)} subjects some clips are learned from and others predicted")
    table = score_table(
        outcome.scores,
        plan.selection.protocol.name,
        outcome.best_test_epoch if peek else None,
        said,
        {outcome.epochs: outcome.guessing} if peek else {},
        plan.request.recipe.method.title or plan.request.recipe.method.name,
    )
    return "\n".join([table, *group_table(outcome.by_group, split.one)])


def search_text(grid: Grid, found: SearchOutcome, paper: Mapping[str, float]) -> str:
    """The configurations of a search and what was chosen; `paper` has the accuracies in % that it prints, by
    configuration."""
    stamp = TUNED if grid.choice == "literature" else ""
    split = grid.first.selection.split
    of = f"left-out {split.many}" if grid.choice == "literature" else "inner folds"
    shown = best_of(found.standings, SHOWN)
    width = max(len(name) for name in shown)
    lines = [f"configurations, accuracy over {of}{f' ({stamp})' if stamp else ''}"]
    beside = {name: f"   paper {value:.2f} %" for name, value in paper.items() if stamp}
    if grid.study is not None:
        lines[0] += f"; {len(found.standings)} of {len(grid.plans)} were proposed"
    lines += [f"  {name:{width}}  {one.text}{beside.get(name, '')}" for name, one in shown.items()]
    if len(shown) < len(found.standings):
        lines.append(f"  the best {len(shown)} of {len(found.standings)}; configurations.csv has all")
    if grid.choice == "inner":
        counts = Counter(found.chosen.values())
        lines.append(f"chosen, each without the {split.one} that it was chosen for:")
        lines += [f"  {name:{width}}  for {count} {split.many}" for name, count in counts.most_common()]
    elif NOBODY in found.chosen:
        lines.append(f"best: {found.chosen[NOBODY]} ({stamp})")
    return "\n".join([*lines, *(f"a fold failed: {why}" for why in found.failed.values())])


def search_title(grid: Grid, found: SearchOutcome, recipe_name: str) -> str:
    """What the run of the chosen is called: the configuration, or that they differ from fold to fold."""
    if grid.choice == "literature":
        return title(grid.plans[found.chosen[NOBODY]].request, recipe_name)
    return f"chosen by inner folds {recipe_name} s{grid.first.request.seed}"


def best_of(standings: Mapping[str, Standing], count: int) -> dict[str, Standing]:
    """So many configurations, those with the most that they are or can be, in the order of the grid."""
    ranked = sorted(standings.values(), key=lambda one: (one.state != "complete", -one.most / one.all_clips))
    best = {one.configuration for one in ranked[:count]}
    return {name: one for name, one in standings.items() if name in best}


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "100 %"
