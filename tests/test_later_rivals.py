"""Graph-TCN, RNMA and GEME with gender: their inputs, networks and settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from moving import clip
from torch.nn import functional as F

from aman.errors import DataError, UsageError
from aman.inputs import ClipFacts, keys_of
from aman.inputs.keyframes import Keyframes
from aman.inputs.motion.patches import LANDMARKS, ShapePatches, patches, usual_points
from aman.magnify.learned import magnified_shape, magnify_learned
from aman.methods import FoldTask, find, variant
from aman.models.attention.rnma import MicroAttention
from aman.models.geme import TwoStreams, gender_loss
from aman.models.graph_tcn import Block, GraphTCN, edges
from aman.models.losses import balanced_focal
from aman.training.genders import digest_of_genders, numbers_of, read_genders

FACTS = ClipFacts(
    digests=("a", "b"), onset=1, apex=2, offset=2, weights={"landmark_model": "", "magnifier": "m", "trunk": "t"}
)


def settings(name: str, **changes: Any) -> Any:
    return variant(find(name).Settings(), align="none", **changes)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("graph-tcn", {"factor": 0}),
        ("graph-tcn", {"width": 0}),
        ("graph-tcn", {"dropout": 1.0}),
        ("rnma", {"width": 0}),
        ("rnma", {"frozen": "layer4"}),
        ("geme", {"gender": "nowhere.csv"}),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_its_option(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        find(name).check(settings(name, **wrong))
    find(name).check(settings(name))


# Graph-TCN


def test_a_patch_has_the_places_around_its_point_and_the_edge_where_there_are_none() -> None:
    map_HW = np.arange(400, dtype=np.float32).reshape(20, 20)
    inside, corner = patches(map_HW, np.array([[10.6, 5.2], [-3.0, 40.0]]))
    np.testing.assert_array_equal(inside.reshape(7, 7), map_HW[2:9, 7:14])
    assert corner.reshape(7, 7)[3, 3] == map_HW[19, 0] and corner.reshape(7, 7)[6, 0] == map_HW[19, 0]


def test_the_shape_is_what_the_magnifier_paints_and_more_gain_is_more_motion() -> None:
    onset, apex, _ = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))["face_3HWC"].astype(np.float32)
    once, twice, four = (magnified_shape(onset, apex, factor) for factor in (1, 2, 4))
    assert once.shape == (32, 112, 112)
    np.testing.assert_allclose(four - once, 3 * (twice - once), atol=1e-4)
    assert np.abs(twice - once).mean() > 1e-4
    assert magnify_learned(onset, apex[None], (1,)).shape == (1, 1, 224, 224, 3)


def test_the_usual_points_are_brows_above_a_mouth_and_a_face_without_landmarks_gets_them() -> None:
    points = usual_points()
    assert points.shape == (len(LANDMARKS), 2) == (30, 2)
    assert points[:10, 1].max() < 0.35 * 224 < 0.6 * 224 < points[10:, 1].min()
    np.testing.assert_allclose(points[:, 0].mean(), 112, atol=1)
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))
    found = ShapePatches().make({**keyframes, "points_68": np.zeros((0, 2))})
    assert found.shape == ShapePatches().shape()
    assert not np.array_equal(found, ShapePatches().make(keyframes))


def test_the_gain_and_the_weights_of_the_magnifier_enter_the_key_of_the_patches() -> None:
    def key(one: ShapePatches, magnifier: str = "m") -> str:
        return keys_of((one,), replace(FACTS, weights={**FACTS.weights, "magnifier": magnifier}))[one]

    assert len({key(ShapePatches()), key(ShapePatches(factor=3)), key(ShapePatches(), "n")}) == 3


def test_edges_are_cosines_and_a_constant_patch_has_none() -> None:
    x = torch.rand(1, 4, 49)
    x[0, 3] = 0.5
    found = edges(x)[0]
    expected = torch.corrcoef(x[0, :3])
    torch.testing.assert_close(found[:3, :3], expected)
    assert not found[3].any() and not found[:, 3].any()


def test_a_block_looks_as_far_as_its_dilation_says() -> None:
    block = Block(2, 4, 2, 0.0).eval()
    x = torch.zeros(1, 2, 30, requires_grad=True)
    block(x)[0, :, 15].sum().backward()
    assert x.grad is not None
    assert set(x.grad[0].abs().sum(0).nonzero()[:, 0].tolist()) <= {11, 13, 15, 17, 19}


def test_the_order_of_the_landmarks_and_their_relations_count() -> None:
    torch.manual_seed(0)
    model = GraphTCN(30, 49, 8, 0.0, 3).eval()
    x = torch.rand(2, 30, 49)
    with torch.no_grad():
        assert model(x).shape == (2, 3)
        assert (model(x.flip(1)) - model(x)).abs().max() > 1e-6
        without_nodes = model.classify.get_parameter("1.weight")[:, :8].zero_()
        assert not without_nodes.any() and (model(2 * x) - model(x)).abs().max() < 1e-5, "cosines have no scale"


# RNMA


def test_the_map_of_an_attention_block_is_a_softmax_over_all_places() -> None:
    torch.manual_seed(0)
    block = MicroAttention(4, 6, 2).eval()
    x = torch.rand(2, 4, 8, 8)
    with torch.no_grad():
        first, short = block.first(x), block.shortcut(x)
        second = block.second(first)
        mean = block.common(torch.cat([first, second, short], 1)).mean(1)
        share = mean.flatten(1).softmax(1).view(2, 1, 4, 4)
        torch.testing.assert_close(block(x), (second + short) * (1 + share))


def test_rnma_looks_at_the_apex_as_it_is() -> None:
    features = find("rnma").inputs(settings("rnma"))[0]
    assert features.name == "picture-features" and features.source is not None and features.source.name == "apex"
    keyframes = Keyframes().make(clip([0.0, 1.0, 0.0], apex=41))
    np.testing.assert_array_equal(features.source.make(keyframes).transpose(1, 2, 0), keyframes["face_3HWC"][1])


# GEME with gender


def table(folder: Path, *rows: str) -> str:
    path = folder / "genders.csv"
    path.write_text("\n".join(["subject,gender", *rows, ""]))
    return str(path)


def test_a_table_of_genders_is_read_by_either_name_of_a_subject(tmp_path: Path) -> None:
    known = read_genders(table(tmp_path, "casme2/01,F", "02,male", "3,f"))
    assert numbers_of(known, ["casme2/01", "casme2/02", "casme2/01"], "t") == [0, 1, 0]
    with pytest.raises(DataError, match="without subject casme2/04"):
        numbers_of(known, ["casme2/04"], "t")


@pytest.mark.parametrize("rows", [["01,x"], ["01,f", "01,f"], [",f"], ["01,"]])
def test_a_row_that_says_no_gender_is_named(tmp_path: Path, rows: list[str]) -> None:
    with pytest.raises(DataError, match=f"row {1 + len(rows)}"):
        read_genders(table(tmp_path, *rows))


def test_without_a_table_every_key_of_geme_is_as_it_was_and_a_table_counts_by_its_content(tmp_path: Path) -> None:
    geme, weights = find("geme"), {"trunk": "t"}

    def key(gender: str) -> dict[str, Any]:
        return geme.key_parts(settings("geme", gender=gender), weights)

    assert "gender" not in key("")["settings"]
    first = key(table(tmp_path, "01,f", "02,m"))
    assert first == key(table(tmp_path, "02,male", "01,female")) != key(table(tmp_path, "01,m", "02,m"))
    assert str(tmp_path) not in str(first) and digest_of_genders({"01": 0, "02": 1}) in str(first)
    of = settings("geme", gender=table(tmp_path, "01,f"))
    assert str(tmp_path) not in "".join(geme.folder(of)) and Path(geme.absolute(of).gender).is_absolute()


def test_the_second_stream_learns_the_gender_of_training_subjects_and_no_other(tmp_path: Path) -> None:
    geme = find("geme")
    draw = torch.Generator().manual_seed(0)
    train, test = torch.rand(6, 512, 1, 1, generator=draw), torch.rand(2, 512, 1, 1, generator=draw)
    task = FoldTask(
        subject="s/3",
        train_clips=tuple("abcdef"),
        train_labels=(0, 1, 0, 1, 0, 1),
        train_subjects=("s/1",) * 3 + ("s/2",) * 3,
        test_clips=("t", "u"),
        classes=2,
        seed=0,
    )

    def weights(*rows: str) -> str:
        of = settings("geme", frozen="layer4", epochs=2, gender=table(tmp_path, *rows))
        return geme.train([train], [test], task, of, None).weights_sha256

    both = weights("1,f", "2,m", "3,m")
    assert both == weights("1,f", "2,m", "3,f") == weights("1,f", "2,m")
    assert both != weights("1,m", "2,m")
    with pytest.raises(DataError, match="without subject s/2"):
        weights("1,f")


def test_the_loss_of_both_streams_is_the_focal_loss_and_the_cross_entropy_of_the_gender(tmp_path: Path) -> None:
    torch.manual_seed(0)
    of = settings("geme", gender=table(tmp_path, "1,f"))
    model = TwoStreams("random", "layer4", 3, 0.0)
    x, known, labels, counts = (
        torch.rand(4, 512, 1, 1),
        torch.tensor([0.0, 1, 1, 0]),
        torch.arange(4) % 3,
        torch.ones(3),
    )
    output = model(x, known)
    expected = balanced_focal(output.logits_BY, labels, counts) + F.cross_entropy(output.gender_BG, known.long())
    # pyrefly: ignore[missing-attribute]
    torch.testing.assert_close(find("geme").loss(output, labels, of, counts), expected)
    assert gender_loss(model(x)) == 0
    assert output.logits_BY.shape == (4, 3)
