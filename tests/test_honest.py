"""What no method of the house may do: learn anything from the subject that is left out."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import (
    FIRST_FRAME,
    SMALL_METHODS,
    planned,
    samm_row,
    sheet_rows,
    small_database,
    small_options,
    small_recipe,
    small_samm,
    small_smic,
    write_sheet,
)

from aman.methods import names
from aman.training import FoldTask
from cluster.experiment.grid import Experiment, look_up
from cluster.experiment.run import run
from jobs import loso


def test_every_method_of_the_house_is_tested_here() -> None:
    assert set(SMALL_METHODS) == set(names())


@pytest.mark.parametrize("name", sorted(SMALL_METHODS))
def test_noise_in_place_of_the_left_out_clips_leaves_every_fitted_number_as_it_is(name: str) -> None:
    recipe = small_recipe(name)
    draw = torch.Generator().manual_seed(0)
    shapes = recipe.method.shapes(recipe)
    train = [torch.rand(12, *shape, generator=draw) for shape in shapes]
    test = [torch.rand(3, *shape, generator=draw) for shape in shapes]
    noise = [1e3 * torch.rand(3, *shape, generator=draw) for shape in shapes]
    task = FoldTask(
        subject="s4",
        train_clips=tuple(f"c{number}" for number in range(12)),
        train_labels=(0, 1, 2) * 4,
        train_subjects=("s1",) * 4 + ("s2",) * 4 + ("s3",) * 4,
        test_clips=("t1", "t2", "t3"),
        classes=3,
        seed=0,
    )
    right, other = (recipe.method.train(train, some, task, recipe, None) for some in (test, noise))
    assert right.weights_sha256 == other.weights_sha256 and right.losses == other.losses
    assert not np.array_equal(right.probabilities, other.probabilities)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL_METHODS))
def test_labels_of_the_left_out_subject_change_no_fitted_number_of_its_fold(name: str, tmp_path: Path) -> None:
    root = small_database(tmp_path / "release", subjects=3, clips_per_subject=4)

    def weights(experiment: Experiment) -> str:
        run(experiment, lambda line: None)
        return experiment.first.finished[experiment.first.folds[0].key].weights_sha256

    first = weights(planned(root, tmp_path / "first", small_recipe(name)))
    other = planned(root, tmp_path / "other", small_recipe(name))
    plan = other.first
    outer, labels = plan.left_out[0], sorted({clip.label for clip in plan.selection.clips})
    shuffled = tuple(
        replace(clip, label=labels[labels.index(clip.label) - 1]) if clip.subject == outer else clip
        for clip in plan.selection.clips
    )
    before = plan.truth
    plan.selection = replace(plan.selection, clips=shuffled)
    assert plan.truth != before
    look_up(other.grids)
    assert weights(other) == first


PROTOCOLS = {
    "casme2-5": "casme2",
    "casme2-4": "casme2",
    "samm-5": "samm",
    "smic-hs-3": "smic",
    "megc2019": "megc2019",
}
"""The databases of the protocols."""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of each of three releases, in the folders `c2`, `samm` and `smic`, with clips as releases have them: one
    without an apex in CASME II and one in SAMM, one that is still, and one of two frames."""
    made = tmp_path_factory.mktemp("three")
    small_database(made / "c2", subjects=2, clips_per_subject=3, release=False)
    no_apex, still, short, *rest = sheet_rows(2, 3)
    no_apex["ApexFrame"] = "/"
    short |= {"ApexFrame": short["OnsetFrame"], "OffsetFrame": FIRST_FRAME + 2}
    write_sheet(made / "c2", [no_apex, still, short, *rest])
    first, *others = sorted((made / "c2" / "CASME2_RAW_selected" / "sub01" / str(still["Filename"])).iterdir())
    for other in others:
        shutil.copy(first, other)
    small_samm(made / "samm", samm_row("006", "006_1_1"), samm_row("007", "007_1_1", label="Happiness", apex=-1))
    small_smic(made / "smic", "s3/micro/positive/s3_po_01", "s4/micro/surprise/s4_sur_01")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SMALL_METHODS))
def test_every_method_runs_under_every_protocol_from_a_release(
    call_job: Callable[..., tuple[int, str]], here: Path, three: Path, name: str
) -> None:
    folders = {"casme2": three / "c2", "samm": three / "samm", "smic": three / "smic", "megc2019": three}
    for protocol, database in PROTOCOLS.items():
        about = {"database": database, "protocol": protocol, "allow_incomplete": True}
        experiment = planned(folders[database], here / "store", small_recipe(name), **about)
        done = run(experiment, lambda line: None)
        plan = experiment.first
        assert done.folds == len(plan.folds) == len(plan.finished) > 1 and not done.failed
        assert (done.clips > 0) == (protocol not in ("casme2-4", "megc2019")), "their clips are those of the others"
    # The folds of the last one are there: the job scores them, draws its figures and says what is incomplete.
    wanted = ["--method", name, *small_options(name), "--database", "megc2019", "--root", three]
    code, text = call_job(loso, *wanted, "--here", "--allow-incomplete", "--store", here / "store")
    assert code == 0, text
    assert f"0 folds trained, {done.folds} were done" in text and "incomplete: " in text
