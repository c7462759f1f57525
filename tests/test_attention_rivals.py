"""HTNet and the other networks of transformers: their layers, settings and sizes."""

from typing import Any

import pytest
import torch
from torch import nn

from aman.catalogue import parameters
from aman.errors import UsageError
from aman.methods import find, variant
from aman.models.attention.htnet import CENTRES, Attention, Encoder, HTNet, Smaller, cut


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 255


def settings(name: str, **changes: Any) -> Any:
    return variant(find(name).Settings(), align="none", **changes)


@pytest.mark.parametrize(("name", "classes", "count"), [("htnet", 3, 114_429_446)])
def test_the_full_network_has_as_many_parameters_as_the_released_one(name: str, classes: int, count: int) -> None:
    """Measured of the released networks: 114.4 million."""
    assert parameters(settings(name), classes) == count


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("htnet", {"dim": 0}),
        ("htnet", {"heads": 0}),
        ("htnet", {"repeats": (1, -1, 1)}),
        ("htnet", {"epochs": 0}),
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
