"""HTNet and the other networks of transformers: their layers, settings and sizes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import planned, small_database, small_recipe
from torch import nn

from aman.catalogue import parameters
from aman.databases import find as find_database
from aman.errors import UsageError
from aman.inputs import flow
from aman.inputs.displacement import displacement
from aman.methods import find, variant
from aman.models.attention.causalnet import Causal, CausalNet, Earlier, Neighbours, ToEach, apart, direction, tokens
from aman.models.attention.htnet import CENTRES, Attention, Encoder, HTNet, Smaller, cut
from cluster.experiment.run import run
from cluster.features.given import plan_given


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 255


def settings(name: str, **changes: Any) -> Any:
    return variant(find(name).Settings(), align="none", **changes)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "classes", "count"), [("htnet", 3, 114_429_446), ("causalnet", 3, 276_590_089)])
def test_the_full_network_has_as_many_parameters_as_the_released_one(name: str, classes: int, count: int) -> None:
    """Measured of the released networks: 114.4 and 276.6 million."""
    assert parameters(settings(name), classes) == count


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("htnet", {"dim": 0}),
        ("htnet", {"heads": 0}),
        ("htnet", {"repeats": (1, -1, 1)}),
        ("htnet", {"epochs": 0}),
        ("causalnet", {"dim": 20}),
        ("causalnet", {"gamma": -1.0}),
        ("causalnet", {"repeats": (1, 1, 101)}),
    ],
)
def test_a_setting_outside_its_range_is_refused_by_its_option(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"--{next(iter(wrong)).replace('_', '-')}"):
        find(name).check(settings(name, **wrong))
    find(name).check(settings(name))


# HTNet


def test_the_four_parts_stand_where_the_eyes_and_the_corners_of_the_mouth_are() -> None:
    x = drawn(2, 3, 28, 28)
    parts = cut(x)
    assert parts.shape == x.shape
    for row, centres in enumerate(CENTRES):
        for column, (y, left) in enumerate(centres):
            part = parts[:, :, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14]
            torch.testing.assert_close(part, x[:, :, y - 7 : y + 7, left - 7 : left + 7], rtol=0, atol=0)


def test_attention_of_a_single_token_is_full_attention_over_one_place() -> None:
    torch.manual_seed(0)
    ours = Attention(12, 3)
    x = torch.rand(2, 1, 1, 12)
    query, key, value = ours.all(x).view(2, 1, 3, 3, 4).permute(2, 0, 3, 1, 4)
    seen = nn.functional.scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(ours(x), ours.out(seen.transpose(1, 2).reshape(2, 1, 1, 12)))


def test_a_norm_over_channels_stands_between_the_levels_and_each_halves_the_map() -> None:
    torch.manual_seed(0)
    one = Smaller(4)
    x = torch.rand(2, 4, 4, 4)
    map_BCHW = one.convolution(x.permute(0, 3, 1, 2))
    mean, deviation = map_BCHW.mean(1, keepdim=True), (map_BCHW.var(1, correction=0, keepdim=True) + 1e-5).sqrt()
    expected = nn.functional.max_pool2d((map_BCHW - mean) / deviation, 3, 2, padding=1)
    torch.testing.assert_close(one(x), expected.permute(0, 2, 3, 1))
    assert Encoder(4, 1, (1, 1, 1))(drawn(2, 3, 28, 28)).shape == (2, 16)


def test_each_part_of_the_face_changes_what_htnet_says() -> None:
    torch.manual_seed(0)
    model = HTNet(8, 2, (1, 1, 1), 3).eval()
    x = drawn(1, 3, 28, 28)
    for centres in CENTRES:
        for y, left in centres:
            other = x.clone()
            other[:, :, y - 2 : y + 2, left - 2 : left + 2] = 0
            assert (model(other) - model(x)).abs().max() > 1e-6


# CausalNet


@pytest.mark.parametrize(
    ("u", "v", "colour"),
    [
        (1, 0, (255, 0, 0)),
        (1, 1, (255, 191.25, 0)),  # 45 degrees: three quarters of the way from red to yellow
        (0, 1, (127.5, 255, 0)),
        (-1, 0, (0, 255, 255)),
        (0, -1, (127.5, 0, 255)),
        (0, 0, (255, 0, 0)),
    ],
)
def test_the_direction_of_the_flow_is_a_hue(u: float, v: float, colour: tuple[float, ...]) -> None:
    flow = torch.tensor([u, v, 9.0])[None, :, None, None].expand(1, 3, 2, 2)
    torch.testing.assert_close(direction(flow)[0, :, 0, 0], torch.tensor(colour, dtype=torch.float32))
    torch.testing.assert_close(direction(3 * flow), direction(flow))


def test_a_token_sees_itself_and_its_two_neighbours_and_not_the_one_across() -> None:
    torch.manual_seed(0)
    weights = Neighbours(0.5, 0.4)(torch.rand(1, 8, 4, 3), torch.rand(1, 8, 4, 3))
    for token in range(4):
        assert weights[0, 0, token].ne(0).tolist() == [place != 3 - token for place in range(4)]
    assert (weights.sum(dim=-1) < 1).all(), "what is not seen has a share of the softmax"
    assert Neighbours(0.5, 0.4).far[0, 3] == pytest.approx(-1.6) and Neighbours(0.5, 0.4).far[3, 0] == pytest.approx(
        -0.4
    )


def test_attention_over_the_square_is_the_masked_attention_of_its_formula() -> None:
    torch.manual_seed(0)
    one = ToEach(16, Neighbours(0.25, 0.5))
    x, seen = torch.rand(1, 4, 16), torch.rand(1, 4, 16)
    key, value = one.key_value(seen).chunk(2, dim=-1)
    expected = torch.zeros(4, 16)
    for head in range(8):
        of = slice(2 * head, 2 * head + 2)
        score = one.query(x)[0, :, of] @ key[0, :, of].T * 0.25
        for i, j in ((0, 3), (3, 0), (1, 2), (2, 1)):
            score[i, j] = -(j + 1) * 0.5
        share = score.softmax(dim=1)
        for i, j in ((0, 3), (3, 0), (1, 2), (2, 1)):
            share[i, j] = 0
        expected[:, of] = share @ value[0, :, of]
    torch.testing.assert_close(one(x, seen), one.out(expected)[None])


def test_the_second_phase_sees_the_place_it_is_at_in_the_first_and_itself() -> None:
    torch.manual_seed(0)
    one, first, second = Earlier(16), torch.rand(1, 4, 16), torch.rand(1, 4, 16)
    moved = first.clone()
    moved[:, 2] += 1
    changed = (one(moved, second) - one(first, second)).abs().amax(dim=2)[0]
    assert changed[2] > 1e-4 and changed[[0, 1, 3]].max() == 0
    torch.testing.assert_close(one(second, second), one.out(one.key_value(second).chunk(2, dim=-1)[1]))


def test_both_orders_of_time_are_looked_at_and_differ() -> None:
    torch.manual_seed(0)
    one, first, second = Causal(16, 0.5), torch.rand(2, 4, 16), torch.rand(2, 4, 16)
    there, back = one(first, second), one(second, first)
    assert there.shape == (2, 12, 16)
    torch.testing.assert_close(there[:, 4:8], back[:, 8:])
    assert (there[:, :4] - back[:, :4]).abs().max() > 1e-5


def test_tokens_are_cut_as_the_released_network_cuts_them() -> None:
    x = torch.arange(12.0)[None]
    torch.testing.assert_close(tokens(x), x.reshape(1, 3, 2, 2).flatten(2).transpose(1, 2))
    torch.testing.assert_close(apart(torch.arange(16.0)[None, None])[0, :, 0], torch.arange(16.0).view(8, 2))


def test_each_half_of_an_expression_changes_what_causalnet_says() -> None:
    torch.manual_seed(0)
    model = CausalNet(8, 2, (1, 1, 1), 0.5, 3).eval()
    first, later = drawn(1, 3, 28, 28), drawn(1, 3, 28, 28, seed=1)
    with torch.no_grad():
        base = model(first, later)
        assert (model(later, first) - base).abs().max() > 1e-6
        assert (model(first, 0 * later) - base).abs().max() > 1e-6
        assert (model(0 * first, later) - base).abs().max() > 1e-6


def test_both_halves_share_the_cached_flow_of_other_methods_and_the_second_has_a_name_of_its_own() -> None:
    first, later = find("causalnet").inputs(settings("causalnet"))
    ours = find("tscnn").inputs(settings("tscnn"))
    assert [one.source for one in (first, later)] == [one.source for one in ours[1:]]
    assert first == find("ststnet").inputs(settings("ststnet"))[0]
    assert later.name != first.name and later.shape() == first.shape() == (3, 28, 28)


def test_one_array_is_not_taken_for_both_halves(tmp_path: Path) -> None:
    (tmp_path / "clips.csv").write_text("database,subject,clip,label\nown,s1,c1,joy\nown,s2,c2,anger\n")
    inputs = find("causalnet").inputs(settings("causalnet"))
    picture = np.ones((2, 3, 28, 28), dtype=np.float32)

    def clip() -> Any:
        return next(iter(find_database("arrays").index(tmp_path)))

    np.savez(tmp_path / "a.npz", standard=picture)
    with pytest.raises(UsageError, match=r"one array, standard .* for the inputs flow-small and flow-small-offset"):
        plan_given(clip(), inputs)
    np.savez(tmp_path / "a.npz", **{"flow-small": picture, "flow-small-offset": picture})
    assert len(set(plan_given(clip(), inputs).keys.values())) == 2


# Shared flow


@pytest.mark.slow
def test_a_second_method_on_the_same_flow_computes_no_flow_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def counted(first: Any, second: Any, kind: Any) -> Any:
        computed.append(kind)
        return displacement(first, second, kind)

    monkeypatch.setattr(flow, "displacement", counted)
    root = small_database(tmp_path / "release", subjects=2, clips_per_subject=2)

    def flows(name: str, **changes: Any) -> int:
        computed.clear()
        done = run(planned(root, tmp_path / "store", variant(small_recipe(name), **changes)), lambda line: None)
        assert done.folds == 2 and not done.failed
        return len(computed)

    assert flows("ststnet") == 4, "one for each clip"
    assert [flows(name) for name in ("off-apexnet", "bi-woof", "rcn-a", "htnet")] == [0, 0, 0, 0]
    assert flows("causalnet") == 4, "from apex to offset"
    assert flows("ststnet", flow="farneback") == 4, "another flow is another input"
