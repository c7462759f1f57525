"""The notebook of docs/: its cells run, and the outputs that it holds are those of a whole run without a trace of the
machine."""

import json
import re
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
import pytest
from small import small_database

NOTEBOOK = Path(__file__).parents[1] / "docs" / "quickstart.ipynb"
TINY = {"align": "none", "magnifier": "linear", "grid_frames": 2, "grid_factors": 2, "k": 2, "n": 2, "epochs": 2}


def code_cells() -> list[dict[str, Any]]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_every_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a plain loop over the cells, for no kernel is among the project's packages. The cell of parameters is followed
    by tiny ones."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    small_database(tmp_path / "runs/notebook/synthetic", 3, 3)
    names: dict[str, Any] = {}
    for cell in code_cells():
        exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", ()):
            names["methods"] = {"aman": TINY}
    assert isinstance(names["scores"], pd.DataFrame) and len(names["predictions"]) == 9
    assert names["confusion"].to_numpy().sum() == 9
    assert names["figure"].axes[0].get_xlabel() == "prediction"
    names["plt"].close("all")


def test_the_outputs_are_those_of_one_run_from_top_to_bottom_small_and_of_no_machine() -> None:
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert {"text/html", "image/png"} <= kinds
    assert not any(output["output_type"] == "error" or output.get("name") == "stderr" for output in outputs)
    text = NOTEBOOK.read_text()
    assert len(text) < 150_000
    assert not re.search(r"(?<![\w/.])/(work|home|root|tmp|usr)/", text)
