"""The two doors: a method and a database of one's own, one file each in a folder of one's own, from end to end."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from small import task_trainer

from jobs import loso, tune

ROOT = Path(__file__).parents[1]

METHOD = '''
"""A linear classifier on two frames, each at two factors."""

from dataclasses import dataclass, field

import torch

from aman.inputs import View
from aman.inputs.aligned import Aligned
from aman.inputs.images import Images
from aman.inputs.interpolated import Interpolated
from aman.methods import Axis, Neural, Recipe
from aman.training.eager import eager

SCALE = 255


@dataclass(frozen=True, kw_only=True)
class Training:
    epochs: int = 2
    batch: int = 4


@dataclass(frozen=True, kw_only=True)
class PlainSettings(Recipe):
    later: int = 15
    """Number of the later frame."""
    training: Training = field(default_factory=Training)


class Plain(Neural, settings=PlainSettings):
    name = "plain"

    def inputs(self, settings):
        aligned = Aligned(align="none")
        source = Interpolated(source=aligned)
        return (Images(source=source, magnifier="linear", grid_frames=2, grid_factors=2),)

    def view(self, settings):
        return View(frames=(5, settings.later), factors=(1, 2))

    def build(self, settings, classes, seed):
        return Network(classes)

    def read(self, output):
        return output, {"brightest": output.softmax(1)}

    def axes(self, settings):
        return {"brightest": Axis(label="class", plural="classes", at=(0, 1))}

    def optimiser(self, model, settings, steps):
        return eager(torch.optim.SGD)(model.parameters(), lr=0.01), None


class Network(torch.nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.line = torch.nn.Linear(12, classes)

    def forward(self, image_BNKCHW):
        return self.line(image_BNKCHW.mean(dim=(-1, -2)).flatten(1) / SCALE)


METHOD = Plain()
'''


@pytest.fixture
def files(here: Path) -> Path:
    """A method and a database of one's own, and the images that the database reads."""
    page = (ROOT / "docs/add_a_database.md").read_text()
    (here / "myfaces.py").write_text(re.findall(r"```python\n(.*?)```", page, flags=re.S)[0])
    (here / "plain.py").write_text(METHOD)
    draw = np.random.default_rng(0)
    for subject in ("anna", "ben", "cleo"):
        for label in ("joy", "rage"):
            folder = here / "faces" / subject / label / "one"
            folder.mkdir(parents=True)
            for number in range(4):
                image = draw.integers(0, 100, (24, 24, 3)) + (20 * number if label == "joy" else 0)
                cv2.imwrite(str(folder / f"frame{number + 1}.png"), image.astype(np.uint8))
    return here


@pytest.mark.slow
@pytest.mark.parametrize("where", ["here", pytest.param("ray", marks=pytest.mark.xdist_group("ray"))])
def test_one_file_each_adds_a_method_and_a_database_from_end_to_end(
    request: pytest.FixtureRequest,
    call_job: Callable[..., tuple[int, str]],
    files: Path,
    where: str,
    drawn_figures: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers of Ray Train train folds of this method in test_cluster_folds.py."""
    before = {path: path.stat().st_mtime_ns for path in ROOT.rglob("*.py") if ".venv" not in path.parts}
    wanted = ["--method", "plain.py", "--database", "myfaces.py", "--root", "faces", "--json", "result.json"]
    if where == "ray":
        request.getfixturevalue("ray_cluster")
        monkeypatch.setattr("cluster.folds.fleet._trainer", lambda config, *_, **__: task_trainer(config))
        wanted += ["--workers", "1"]
    else:
        wanted += ["--here"]
    code, text = call_job(loso, *wanted, "--later", "15", "--epochs", "3")
    assert code == 0, text
    assert "myfaces-2: 6 clips (joy 3, anger 3), 3 subjects" in text and "clips: 0 need no preparation, 6" in text
    result = json.loads((files / "result.json").read_text())
    assert (result["method"], result["protocol"], result["settings"]["later"]) == ("plain", "myfaces-2", 15)
    assert not result["incomplete"] and (result["computed_clips"], result["computed_folds"]) == (6, 3)
    assert result["name"] == "plain epochs=3 default s0"
    table = pd.read_csv(result["predictions"])
    assert set(table["subject"]) == {"myfaces/anna", "myfaces/ben", "myfaces/cleo"}
    assert len(json.loads(table["brightest"][0])) == 2
    folder = Path(result["predictions"]).parent
    assert {"confusion.png", "attention_classes.png", "magnification.png"} <= {path.name for path in folder.iterdir()}
    code, text = call_job(loso, *wanted, "--later", "15", "--epochs", "3")
    assert code == 0 and "done in" in text and "0 clips and 0 folds computed" in text
    assert before == {path: path.stat().st_mtime_ns for path in before}  # nothing else was touched


@pytest.mark.slow
def test_editing_ones_own_method_trains_again_undoing_finds_the_results_and_a_comment_changes_nothing(
    call_job: Callable[..., tuple[int, str]], files: Path
) -> None:
    wanted = ["--method", "plain.py", "--database", "myfaces.py", "--root", "faces", "--here", "--json", "result.json"]

    def folds(source: str) -> int:
        (files / "plain.py").write_text(source)
        code, text = call_job(loso, *wanted)
        assert code == 0, text
        return int(json.loads((files / "result.json").read_text())["computed_folds"])

    assert folds(METHOD) == 3
    assert folds(METHOD.replace("SCALE = 255", "SCALE = 255  # largest grey level")) == 0
    assert folds(METHOD.replace("A linear classifier", "The plainest classifier")) == 0
    assert folds(METHOD.replace("SCALE = 255", "SCALE = 100")) == 3
    assert folds(METHOD) == 0


@pytest.mark.slow
def test_a_space_over_settings_of_ones_own_method_is_searched(
    call_job: Callable[..., tuple[int, str]], files: Path
) -> None:
    (files / "space.py").write_text(
        "from tune_spaces import Space\n"
        'SPACE = Space(reproduces="nothing", method="plain.py", choices={"later": (5, 15), "epochs": (1, 2)})\n'
    )
    wanted = ["--method", "plain.py", "--database", "myfaces.py", "--root", "faces", "--here", "--space", "space.py"]
    code, text = call_job(tune, *wanted, "--json", "found.json")
    assert code == 0, text
    found = json.loads((files / "found.json").read_text())
    assert set(found["configurations"]) == {f"later={j} epochs={e}" for j in (5, 15) for e in (1, 2)}
    assert set(found["chosen"]) == {"myfaces/anna", "myfaces/ben", "myfaces/cleo"}
    code, text = call_job(tune, *wanted[2:], "--align", "none")
    assert code == 2 and "--method plain.py" in text
