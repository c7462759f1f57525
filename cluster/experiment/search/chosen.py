"""What a search chose, as a run with a folder of its own, and the search as JSON."""

from pathlib import Path
from typing import Any

from aman.tables import score_values
from cluster.experiment.grid import Grid
from cluster.experiment.plan import TUNED
from cluster.experiment.score import outcome_of
from cluster.experiment.search.choose import SearchOutcome, chosen_plan
from cluster.experiment.write import About, Run


def chosen_run(grid: Grid, found: SearchOutcome, folder: Path, *, job: str, name: str, recipe: str) -> Run | None:
    """The run of what was chosen, or None where nothing could be."""
    plan = chosen_plan(grid, found)
    if plan is None:
        return None
    about = About(
        job=job,
        name=name,
        recipe=recipe,
        selection=grid.choice,
        stamp=TUNED if grid.choice == "literature" else "",
        chosen={lane: one for lane, one in found.chosen.items() if lane},
    )
    return Run(plan=plan, outcome=outcome_of(plan, found.clips, found.trained, {}), folder=folder, about=about)


def search_values(grid: Grid, found: SearchOutcome, run: Run | None, seconds: float) -> dict[str, Any]:
    """The search as JSON."""
    return {
        "protocol": grid.first.selection.protocol.name,
        "fingerprint": grid.first.selection.fingerprint,
        "selection": grid.choice,
        "stamp": TUNED if grid.choice == "literature" else "",
        "incomplete": bool(run and run.outcome.incomplete),
        **(score_values(run.outcome.scores) if run else {}),
        "chosen": {lane or "all": name for lane, name in found.chosen.items()},
        "configurations": {
            name: {"state": one.state, "right": one.least, "at_most": one.most, "clips": one.all_clips}
            for name, one in found.standings.items()
        },
        "left_out": grid.left_out,
        "trained": found.trained,
        "failed": list(found.failed.values()),
        "seconds": round(seconds, 2),
    }
