"""Whether MLflow's file holds a run already: one look at the database, for a rerun that has nothing new to log.

Importing MLflow takes seconds, and the answer of a rerun is nearly always yes. Only a yes is taken from here: for
anything else, another layout of the database among them, MLflow itself is asked.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cluster.tracking.client import KEY_TAG, PARENT_TAG
from cluster.tracking.record import RunRecord

SECONDS = 2.0
"""How long a file that another process writes to is waited for."""
FINISHED = f"""
    SELECT runs.run_uuid, keys.value, experiments.name, parents.value
    FROM runs
    JOIN experiments ON experiments.experiment_id = runs.experiment_id
    JOIN tags AS keys ON keys.run_uuid = runs.run_uuid AND keys.key = '{KEY_TAG}'
    LEFT JOIN tags AS parents ON parents.run_uuid = runs.run_uuid AND parents.key = '{PARENT_TAG}'
    WHERE runs.status = 'FINISHED' AND runs.lifecycle_stage = 'active'
"""


def finished_run(file: Path, parent: RunRecord, children: Sequence[RunRecord]) -> str | None:
    """Id of the run that holds the parent's results, where it and a run for each child under it are finished."""
    if not file.is_file():
        return None
    try:
        there = sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True, timeout=SECONDS)
        try:
            by_key = f"{FINISHED} AND keys.value = ? AND experiments.name = ? AND parents.value IS NULL"
            found = there.execute(by_key, (parent.key, parent.experiment)).fetchone()
            if found is None:
                return None
            under = there.execute(f"{FINISHED} AND parents.value = ?", (found[0],)).fetchall()
        finally:
            there.close()
    except sqlite3.Error:
        return None
    wanted = {(child.key, child.experiment) for child in children}
    return str(found[0]) if wanted <= {(key, experiment) for _, key, experiment, _ in under} else None
