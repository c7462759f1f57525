"""What a search leaves behind: a table of its configurations, what was chosen, and the runs in MLflow."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from aman.figures import confusion_figure
from aman.racing import Standing
from aman.runs import EPOCHS, FOLDS, PREDICTIONS
from aman.tables import score_table, score_values, write_csv
from cluster.experiment.choose import NOBODY
from cluster.experiment.grid import SearchOutcome, SearchPlan
from cluster.experiment.plan import Plan
from cluster.experiment.score import Outcome, outcome_of, pool_epochs
from cluster.experiment.write import HONEST, draw, fold_table, parameters_of, record_of, tags_of, unwritable
from cluster.experiment.write import title as title_of
from cluster.store.results import content_key
from cluster.tracking.pending import log_or_keep
from cluster.tracking.record import RunRecord

TUNED = "tuned on test"
"""What is said wherever a number was chosen by the subjects that it is of."""

SHOWN, LOGGED = 30, 200
"""Configurations that are printed, and that get a run in MLflow of their own: the best ones. The table has all."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a search says of itself."""

    outcome: Outcome | None
    """Scores of the chosen: of all left-out subjects, each with the configuration chosen without it, or of the one
    configuration that was chosen by them. None where nothing could be chosen."""
    plan: Plan
    """The folds of that."""
    stamp: str
    """`TUNED`, or empty text."""


def plan_text(plan: SearchPlan) -> str:
    """What the search consists of and what of it is there."""
    keys = {spec.key for _, _, spec in plan.choosing()}
    done, count = len(keys & plan.results.keys()), f"{len(keys)} folds"
    if plan.study is not None:
        most = plan.study.proposals * len(keys) // len(plan.plans)
        count = f"{plan.study.proposals} proposals"
        count += " for each left-out subject" if plan.selection == "inner" else ""
        count += f", at most {min(most, len(keys))} folds of {len(keys)}"
    selection = plan.first.selection
    by = "inner folds over the other subjects" if plan.selection == "inner" else f"left-out subjects ({TUNED})"
    lines = [
        f"{selection.protocol.name}: {len(selection.clips)} clips, {len(plan.first.subjects)} subjects,"
        f" fingerprint {selection.fingerprint[:12]}",
        f"{len(plan.plans)} configurations, chosen by {by}: {count}, {done} done",
    ]
    for why, many in Counter(plan.left_out.values()).items():
        lines.append(f"left out: {many} configurations: {why}")
    if plan.selection == "inner":
        lines.append(f"then {len(plan.first.subjects)} folds of the left-out subjects with what was chosen")
    if plan.first.selection.incomplete:
        lines.append(f"incomplete: {plan.first.selection.shortfall}")
    return "\n".join(lines)


def verdict(plan: SearchPlan, found: SearchOutcome) -> Verdict:
    """Score what was chosen."""
    if plan.selection == "literature":
        chosen = plan.plans[found.chosen[NOBODY]] if NOBODY in found.chosen else plan.first
        stamp = TUNED
    else:
        folds = []
        for spec in plan.first.folds:
            name = found.chosen.get(spec.task.subject)
            folds += [one for one in plan.plans[name].folds if one.task.subject == spec.task.subject] if name else []
        finished = {spec.key: plan.results[spec.key] for spec in folds if spec.key in plan.results}
        base = replace(plan.first.request, recipe=plan.request.recipe)  # what is chosen differs from subject to subject
        chosen, stamp = replace(plan.first, request=base, folds=folds, finished=finished), ""
    decided = bool(found.chosen) and bool(chosen.finished)
    outcome = outcome_of(chosen, 0, found.trained, {}) if decided else None
    return Verdict(outcome=outcome, plan=chosen, stamp=stamp)


def table_of(plan: SearchPlan, found: SearchOutcome) -> pd.DataFrame:
    """A row a configuration, in the order of the grid; an accuracy only where every fold of it is there. Of a search by
    proposals those that were proposed, over the subjects that they were proposed for."""
    rows: list[dict[str, Any]] = []
    for one in plan.configurations:
        if one.name in plan.left_out:
            rows.append(
                {"configuration": one.name, **one.choices, "state": "cannot be run", "why": plan.left_out[one.name]}
            )
        if one.name not in found.standings:
            continue
        standing = found.standings[one.name]
        whole = standing.state == "complete"
        rows.append(
            {
                "configuration": one.name,
                **one.choices,
                "state": standing.state,
                "why": "",
                "folds": standing.folds,
                "of_folds": standing.all_folds,
                "right": standing.least,
                "at_most_right": standing.most,
                "clips": standing.all_clips,
                "accuracy": standing.least / standing.all_clips if whole else None,
                "at_most": standing.most / standing.all_clips,
                "chosen_for": sum(name == one.name for name in found.chosen.values()),
                "proposed_for": sum(one.name in names for names in plan.proposed.values()) if plan.study else None,
                "selection": plan.selection,
                "stamp": TUNED if plan.selection == "literature" else "accuracy over inner folds",
            }
        )
    return pd.DataFrame(rows)


def final_text(plan: SearchPlan, found: SearchOutcome, said: Verdict, paper: Mapping[str, float]) -> str:
    """The tables at the end; `paper` has the accuracies in % that it prints, by configuration."""
    of = "left-out subjects" if plan.selection == "literature" else "inner folds"
    shown = best_of(found.standings, SHOWN)
    width = max(len(name) for name in shown)
    lines = [f"configurations, accuracy over {of}{f' ({said.stamp})' if said.stamp else ''}"]
    beside = {name: f"   paper {value:.2f} %" for name, value in paper.items() if plan.selection == "literature"}
    if plan.study is not None:
        lines[0] += f"; {len(found.standings)} of {len(plan.plans)} were proposed"
    lines += [f"  {name:{width}}  {one.text}{beside.get(name, '')}" for name, one in shown.items()]
    if len(shown) < len(found.standings):
        lines.append(f"  the best {len(shown)} of {len(found.standings)}; configurations.csv has all")
    if plan.selection == "inner":
        counts = Counter(found.chosen.values())
        lines.append("chosen, each without the subject that it was chosen for:")
        lines += [f"  {name:{width}}  for {count} subjects" for name, count in counts.most_common()]
    elif NOBODY in found.chosen:
        lines.append(f"best: {found.chosen[NOBODY]} ({said.stamp})")
    lines += [f"a fold failed: {why}" for why in found.failed.values()]
    if said.outcome is not None:
        notes = [said.stamp] if said.stamp else []
        notes += [f"incomplete: {said.outcome.incomplete}"] if said.outcome.incomplete else []
        name = said.plan.selection.protocol.name
        lines.append(score_table(said.outcome.scores, name, said.outcome.literature, notes))
    return "\n".join(lines)


def best_of(standings: Mapping[str, Standing], count: int) -> dict[str, Standing]:
    """So many configurations, those with the most that they are or can be, in the order of the grid."""
    ranked = sorted(standings.values(), key=lambda one: (one.state != "complete", -one.most / one.all_clips))
    best = {one.configuration for one in ranked[:count]}
    return {name: one for name, one in standings.items() if name in best}


def title(plan: SearchPlan, found: SearchOutcome, recipe_name: str) -> str:
    """What the run of the chosen is called: the configuration, or that they differ from subject to subject."""
    if plan.selection == "literature":
        return title_of(plan.plans[found.chosen[NOBODY]].request, recipe_name)
    return f"chosen by inner folds {recipe_name} s{plan.first.request.seed}"


def write(plan: SearchPlan, found: SearchOutcome, said: Verdict, out: Path) -> list[Path]:
    """configurations.csv, chosen.csv, proposals.csv where there were any, and of the chosen what a benchmark leaves;
    their paths. `UsageError` where the folder cannot be written."""
    stamp = {"stamp": said.stamp}
    chosen = [{"subject": lane or "all", "configuration": name, **stamp} for lane, name in found.chosen.items()]
    tables = {"configurations.csv": table_of(plan, found), "chosen.csv": pd.DataFrame(chosen)}
    if plan.study is not None:
        tables["proposals.csv"] = pd.DataFrame(
            [
                {"subject": lane or "all", "proposal": number, "configuration": name, **stamp}
                for lane, names in plan.proposed.items()
                for number, name in enumerate(names, start=1)
            ]
        )
    if said.outcome is not None:
        tables[PREDICTIONS] = said.outcome.predictions.assign(**stamp)
        tables[EPOCHS] = pool_epochs(said.plan).assign(**stamp)
        tables[FOLDS] = fold_table(said.plan).assign(**stamp)
    files = [out / name for name in tables]
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path, table in zip(files, tables.values(), strict=True):
            write_csv(path, table)
        if said.outcome is not None and plan.selection == "literature":
            files += draw(said.plan, said.outcome, out)
        elif said.outcome is not None:  # attention over other levels and frames for every subject is no one figure
            files.append(out / "confusion.png")
            confusion_figure(said.outcome.scores.confusion_YY, plan.first.selection.protocol.classes, files[-1])
    except OSError as error:
        raise unwritable(out, error) from None
    return files


def result_of(plan: SearchPlan, found: SearchOutcome, said: Verdict, seconds: float) -> dict[str, Any]:
    """The search as JSON."""
    scores = {} if said.outcome is None else score_values(said.outcome.scores)
    return {
        "protocol": plan.first.selection.protocol.name,
        "fingerprint": plan.first.selection.fingerprint,
        "selection": plan.selection,
        "stamp": said.stamp,
        "incomplete": bool(said.outcome and said.outcome.incomplete),
        **scores,
        "chosen": {lane or "all": name for lane, name in found.chosen.items()},
        "configurations": {
            name: {"state": one.state, "right": one.least, "at_most": one.most, "clips": one.all_clips}
            for name, one in found.standings.items()
        },
        "left_out": plan.left_out,
        "trained": found.trained,
        "failed": list(found.failed.values()),
        "seconds": round(seconds, 2),
    }


def track(
    plan: SearchPlan,
    found: SearchOutcome,
    said: Verdict,
    files: list[Path],
    uri: str,
    name: str,
    say: Callable[[str], None],
    recipe: str = "",
) -> str | None:
    """A parent run for the search and one under it for every configuration; the parent's id, None without a tracker.
    `recipe` is the one that the settings began with."""
    if said.outcome is None:
        return None
    tags = {"job": "tune", "selection": plan.selection, "stamp": said.stamp or HONEST}
    parent = record_of(said.plan, said.outcome, files, f"tune {name}", **tags)
    # What was searched and chosen, not how far a stopped configuration had come: that differs from run to run.
    searched = {name: sorted(spec.key for spec in one.folds) for name, one in plan.plans.items()}
    key = content_key({"searched": searched, "selection": plan.selection, "chosen": parent.key})
    parent = replace(parent, key=key, parameters={"space": name})
    logged_ones = best_of(found.standings, LOGGED)
    if len(logged_ones) < len(found.standings):
        say(f"MLflow gets the best {LOGGED} of {len(found.standings)} configurations; configurations.csv has all")
    children = [child_of(plan, found, one, parent, tags, recipe) for one in logged_ones]
    return log_or_keep(uri, parent, children, files[0].parent, say)


def child_of(
    plan: SearchPlan, found: SearchOutcome, name: str, parent: RunRecord, tags: dict[str, str], recipe: str
) -> RunRecord:
    """A configuration's run: its scores where they are of every left-out subject, else what it can be at most."""
    one, standing = plan.plans[name], found.standings[name]
    shown = title_of(one.request, recipe)
    tags = {**tags, "configuration": name, "state": standing.state}
    if plan.selection == "literature" and standing.state == "complete":
        return record_of(one, outcome_of(one, 0, 0, {}), [], shown, recipe, **{**tags, "stamp": TUNED})
    bounds = {
        "bound/at_least": standing.least / standing.all_clips,
        "bound/at_most": standing.most / standing.all_clips,
    }
    return replace(
        parent,
        name=shown,
        key=content_key({"configuration": name, "of": parent.key}),
        parameters=parameters_of(one, recipe),
        scores=bounds,
        curves={},
        tags={**tags_of(one), **tags},
        artifacts=[],
        tables=[],
    )
