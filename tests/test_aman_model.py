"""AMAN against its equations written out as loops, and its batch norm against one call a position."""

import copy
import math
from typing import Literal

import pytest
import torch
from torch import nn

from aman.backbone import Head, computing_in, load_trunk
from aman.models.aman import AMAN, BatchStandard, FrozenNorm, Output, PositionNorm, Standard, attend, replace_norms
from aman.models.settings import Model

B, N, K, Y = 3, 2, 4, 5


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """The random trunk; not to be changed."""
    return load_trunk("random")


def aman_over_vectors(attention: Literal["both", "ma", "fa"] = "both", bias: bool = True) -> AMAN:
    """AMAN that is given F_i itself: with layer4 frozen, the head is the identity."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return AMAN(Head(nn.Module(), "layer4"), Model(attention=attention, attention_bias=bias, standardise=False), Y)


def vectors(dtype: torch.dtype = torch.float64, size: float = 1.0) -> torch.Tensor:
    """x_BNKCHW: (B, N, K, 512, 1, 1)."""
    generator = torch.Generator().manual_seed(2)
    return size * torch.randn(B, N, K, 512, 1, 1, generator=generator, dtype=dtype)


def images(side: int = 4, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """x_BNKCHW as cached after layer3."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(B, N, K, 256, side, side, generator=generator, dtype=dtype).relu()


def written_out(model: AMAN, x_BNKCHW: torch.Tensor) -> Output:
    """Equations 5 to 10, number by number, with Python's own floats."""

    def sigmoid_score(f: list[float], score: nn.Linear) -> float:
        total = sum(a * b for a, b in zip(f, score.weight[0].tolist(), strict=True))
        return 1 / (1 + math.exp(-(total + (score.bias.item() if score.bias is not None else 0.0))))

    def weighted(weights: list[float], fs: list[list[float]]) -> list[float]:
        return [sum(w * f[d] for w, f in zip(weights, fs, strict=True)) / sum(weights) for d in range(len(fs[0]))]

    logits, alphas, betas = [], [], []
    for clip in x_BNKCHW.double().flatten(3).tolist():
        alpha = [[1.0 if model.attention == "fa" else sigmoid_score(f, model.q0) for f in frame] for frame in clip]
        f_m = [weighted(a, frame) for a, frame in zip(alpha, clip, strict=True)]
        beta = [1.0 if model.attention == "ma" else sigmoid_score(f, model.p0) for f in f_m]
        f_v = weighted(beta, f_m)
        rows = zip(model.classifier.weight.tolist(), model.classifier.bias.tolist(), strict=True)
        logits.append([sum(w * v for w, v in zip(row, f_v, strict=True)) + bias for row, bias in rows])
        alphas.append(alpha)
        betas.append(beta)
    return Output(*(torch.tensor(each, dtype=torch.float64) for each in (logits, alphas, betas)))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("attention", ["both", "ma", "fa"])
def test_the_output_is_equations_5_to_10_written_out(attention: Literal["both", "ma", "fa"], bias: bool) -> None:
    model, x = aman_over_vectors(attention, bias).double(), vectors()
    for mine, literal in zip(model(x), written_out(model, x), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-12, atol=1e-12)


def test_single_precision_follows_the_equations_too() -> None:
    model, x = aman_over_vectors(), vectors(torch.float32)
    out, literal = model(x), written_out(model, x)
    torch.testing.assert_close(out.logits_BY.double(), literal.logits_BY, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.alpha_BNK, literal.alpha_BNK, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(out.beta_BN, literal.beta_BN, rtol=1e-5, atol=1e-6)


def test_attention_lies_between_zero_and_one_and_is_not_normalised() -> None:
    out = aman_over_vectors()(vectors(torch.float32, size=8))
    for attention in (out.alpha_BNK, out.beta_BN):
        assert attention.dtype == torch.float64
        assert attention.min() > 0
        assert attention.max() < 1
        assert attention.std() > 0.05
    assert (out.alpha_BNK.sum(-1) - 1).abs().max() > 0.1
    assert out.alpha_BNK.shape == (B, N, K)
    assert out.beta_BN.shape == (B, N)
    assert out.logits_BY.shape == (B, Y)


def test_magnification_attention_only_is_a_plain_mean_over_frames() -> None:
    model, x = aman_over_vectors("ma"), vectors(torch.float32)
    out = model(x)
    _, f_BND = attend(x.flatten(3), model.q0)
    torch.testing.assert_close(out.logits_BY, model.classifier(f_BND.mean(dim=1)))
    assert torch.equal(out.beta_BN, torch.ones(B, N, dtype=torch.float64))
    assert out.alpha_BNK.std() > 0.01


def test_frame_attention_only_is_a_plain_mean_over_levels() -> None:
    model, x = aman_over_vectors("fa"), vectors(torch.float32)
    out = model(x)
    beta_BN, v_BD = attend(x.flatten(3).mean(dim=2), model.p0)
    torch.testing.assert_close(out.logits_BY, model.classifier(v_BD))
    torch.testing.assert_close(out.beta_BN, beta_BN)
    assert torch.equal(out.alpha_BNK, torch.ones(B, N, K, dtype=torch.float64))


def test_the_attentions_of_the_paper_have_no_bias_and_the_official_ones_have() -> None:
    for bias in (False, True):
        model = aman_over_vectors(bias=bias)
        assert (model.q0.bias is not None, model.p0.bias is not None) == (bias, bias)
    assert model.classifier.bias is not None


def test_one_frame_and_one_level_go_through_unchanged() -> None:
    model, x = aman_over_vectors(), vectors(torch.float32)[:, :1, :1]
    torch.testing.assert_close(model(x).logits_BY, model.classifier(x.flatten(1)))


@pytest.mark.parametrize("bias", [-30.0, -120.0, -600.0])
def test_hugely_negative_scores_leave_a_weighted_mean_with_gradients(bias: float) -> None:
    score = copy.deepcopy(aman_over_vectors().q0)
    nn.init.constant_(score.bias, bias)
    f = vectors(torch.float32).flatten(3).requires_grad_()
    attention, mean = attend(f, score)
    # Where every sigmoid is as good as an exponential, the quotient of equation 7 is a softmax of the scores.
    s = (f.double() @ score.weight.double().T).squeeze(-1)
    share = torch.softmax(s, dim=-1).unsqueeze(-1)
    torch.testing.assert_close(mean.double(), (share * f.double()).sum(dim=-2), rtol=0, atol=1e-3)
    assert attention.min() > 0
    assert attention.max() < 1e-10
    mean.square().sum().backward()
    assert f.grad is not None
    assert score.weight.grad is not None
    assert torch.isfinite(f.grad).all()
    assert torch.isfinite(score.weight.grad).all()
    assert score.weight.grad.abs().max() > 0


def position_loop(norm: nn.BatchNorm2d, x: torch.Tensor, positions: int) -> torch.Tensor:
    """What the authors do: the layer is called with one (frame, factor) position of all clips after the other."""
    x_BPCHW = x.view(-1, positions, *x.shape[1:])
    return torch.stack([norm(x_BPCHW[:, p]) for p in range(positions)], dim=1).flatten(0, 1)


def norms(channels: int, dtype: torch.dtype) -> tuple[PositionNorm, nn.BatchNorm2d]:
    """Two batch norms with the same, not trivial state."""
    literal = nn.BatchNorm2d(channels).to(dtype)
    generator = torch.Generator().manual_seed(4)
    for tensor in (literal.weight, literal.bias, literal.running_mean, literal.running_var):
        assert tensor is not None
        tensor.data = torch.rand(channels, generator=generator, dtype=dtype) + 0.5
    mine = copy.deepcopy(literal)
    replace_norms(nn.Sequential(mine), "position")
    assert isinstance(mine, PositionNorm)
    return mine, literal


@pytest.mark.parametrize("positions", [1, 2, 9])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_position_norm_is_one_call_a_position(positions: int, layout: torch.memory_format) -> None:
    mine, literal = norms(6, torch.float64)
    mine.positions = positions
    generator = torch.Generator().manual_seed(5)
    for _ in range(2):  # twice, as the running statistics go on from where they are
        x = 3 + 2 * torch.randn(4 * positions, 6, 5, 3, generator=generator, dtype=torch.float64)
        towards = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        results = []
        for norm in (mine, literal):
            given = x.clone(memory_format=layout).requires_grad_()
            norm.zero_grad()
            out = mine(given) if norm is mine else position_loop(literal, given, positions)
            (out * towards).sum().backward()
            assert norm.weight.grad is not None
            assert norm.bias.grad is not None
            results.append((out, given.grad, norm.weight.grad, norm.bias.grad, norm.running_mean, norm.running_var))
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_position_norm_of_images_in_bf16_has_statistics_in_single_precision() -> None:
    x = (3 + 2 * torch.randn(8, 6, 5, 3, generator=torch.Generator().manual_seed(5))).bfloat16()
    mine, single = norms(6, torch.float32)[0], norms(6, torch.float32)[0]
    mine.positions = single.positions = 2
    with computing_in("bf16", x.device):
        assert mine(x).dtype == torch.bfloat16
    single(x.float())
    for name, wanted in single.named_buffers():
        assert torch.equal(mine.get_buffer(name), wanted), name


def test_position_norm_in_eval_mode_is_batch_norm() -> None:
    mine, literal = norms(6, torch.float32)
    mine.positions = 4
    x = torch.randn(8, 6, 5, 3, generator=torch.Generator().manual_seed(6))
    assert torch.equal(mine.eval()(x), literal.eval()(x))


def with_bn(network: nn.Module, bn: Literal["position", "flat", "frozen"]) -> AMAN:
    """AMAN over features of layer3, the same start whatever the batch norm."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return AMAN(Head(copy.deepcopy(network), "layer3"), Model(bn=bn, standardise=False), Y)


def layer4_of(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).get_submodule("layer4").train()


def statistics_of(module: nn.Module) -> list[torch.Tensor]:
    return [
        tensor.clone()
        for norm in module.modules()
        if isinstance(norm, nn.BatchNorm2d)
        for tensor in (norm.running_mean, norm.running_var)
        if tensor is not None
    ]


def test_position_norm_in_the_network_is_layer4_called_once_a_position(network: nn.Module) -> None:
    model, layer4, x = with_bn(network, "position").train(), layer4_of(network), images()
    f_BNKD = torch.empty(B, N, K, 512)
    for j in range(N):
        for i in range(K):
            f_BNKD[:, j, i] = layer4(x[:, j, i]).mean(dim=(2, 3)).detach()
    _, f_BND = attend(f_BNKD, model.q0)
    _, v_BD = attend(f_BND, model.p0)
    torch.testing.assert_close(model(x).logits_BY, model.classifier(v_BD), rtol=1e-4, atol=1e-4)
    for mine, literal in zip(statistics_of(model.head), statistics_of(layer4), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-4, atol=1e-5)


def test_flat_norm_sees_all_positions_of_the_batch_at_once(network: nn.Module) -> None:
    model, layer4, x = with_bn(network, "flat").train(), layer4_of(network), images()
    f_BNKD = layer4(x.flatten(0, 2)).mean(dim=(2, 3)).view(B, N, K, 512)
    _, f_BND = attend(f_BNKD, model.q0)
    _, v_BD = attend(f_BND, model.p0)
    torch.testing.assert_close(model(x).logits_BY, model.classifier(v_BD), rtol=1e-4, atol=1e-4)
    for mine, literal in zip(statistics_of(model.head), statistics_of(layer4), strict=True):
        torch.testing.assert_close(mine, literal, rtol=1e-4, atol=1e-5)


def test_frozen_norm_keeps_its_statistics_while_scale_and_shift_learn(network: nn.Module) -> None:
    model, x = with_bn(network, "frozen"), images()
    before = statistics_of(model)
    trained, evaluated = model.train()(x).logits_BY, model.eval()(x).logits_BY
    torch.testing.assert_close(trained, evaluated)
    for now, then in zip(statistics_of(model), before, strict=True):
        assert torch.equal(now, then)
    model.train()(x).logits_BY.square().sum().backward()
    scales = [norm.weight.grad for norm in model.modules() if isinstance(norm, FrozenNorm)]
    assert len(scales) == 5
    assert all(grad is not None and grad.abs().max() > 0 for grad in scales)


def test_the_kinds_of_batch_norm_train_differently_and_predict_alike(network: nn.Module) -> None:
    x = images()
    models = [with_bn(network, bn) for bn in ("position", "flat", "frozen")]
    predicted = [model.eval()(x).logits_BY for model in models]
    for each in predicted[1:]:
        torch.testing.assert_close(each, predicted[0])
    trained = [model.train()(x).logits_BY for model in models]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (trained[i] - trained[j]).abs().max() > 1e-3


def test_a_clip_is_predicted_alike_beside_any_other_clip(network: nn.Module) -> None:
    model, x = with_bn(network, "position").eval(), images()
    for mine, alone in zip(model(x), model(x[1:2]), strict=True):
        torch.testing.assert_close(mine[1:2], alone, rtol=1e-5, atol=1e-6)


def test_nothing_but_the_trained_end_and_the_attentions_has_parameters(network: nn.Module) -> None:
    ends = {"q0", "p0", "classifier"}
    for frozen, parts in (("layer4", ends), ("layer3", ends | {"head"}), ("none", ends | {"head"})):
        model = AMAN(Head(copy.deepcopy(network), frozen), Model(), Y)
        assert {name.split(".")[0] for name, _ in model.named_parameters()} == parts
        assert all(parameter.requires_grad for parameter in model.parameters())


def standardised(frozen: str, network: nn.Module) -> AMAN:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return AMAN(Head(network, frozen), Model(), Y)


def test_a_frozen_trunk_is_standardised_by_the_training_clips_and_by_nothing_else() -> None:
    model, x = standardised("layer4", nn.Module()), 3 + 2 * vectors(torch.float32)
    x[..., 7, :, :] = 0.25  # a feature that never changes
    model.begin(x)
    f = x.flatten(0, 2).flatten(1).double()
    deviation = f.std(dim=0, unbiased=False)
    deviation[7] = 1
    assert isinstance(model.standard, Standard)
    torch.testing.assert_close(model.standard.mean_D.double(), f.mean(dim=0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(model.standard.deviation_D.double(), deviation, rtol=1e-6, atol=1e-6)
    out = model.standard(x.flatten(0, 2).flatten(1))
    assert out.mean(dim=0).abs().max() < 1e-5
    assert torch.equal(out[:, 7], torch.zeros(len(out)))
    before = model.state_dict()["standard.mean_D"].clone()
    model.train()(1000 * vectors(torch.float32))
    assert torch.equal(model.state_dict()["standard.mean_D"], before)


def test_a_clip_alone_is_predicted_as_among_others() -> None:
    model, x = standardised("layer4", nn.Module()), vectors(torch.float32)
    model.begin(x)
    together = model.eval()(x).logits_BY
    torch.testing.assert_close(torch.cat([model(one[None]).logits_BY for one in x]), together)


def test_trained_stages_are_standardised_by_a_batch_norm_that_a_batch_of_one_image_does_not_stop(
    network: nn.Module,
) -> None:
    model, x = standardised("layer3", copy.deepcopy(network)), images()
    model.begin(x)  # takes nothing: the features change at every step
    seen = []
    model.standard.register_forward_hook(lambda _, given, out: seen.append(out))
    model.train()(x)
    assert seen[0].mean(dim=0).abs().max() < 1e-5
    assert isinstance(model.standard, BatchStandard)
    assert not list(model.standard.parameters())
    running = model.standard.running_mean
    assert running is not None
    before = running.clone()
    logits = model(x[:1, :1, :1]).logits_BY
    assert torch.isfinite(logits).all()
    assert torch.equal(running, before)
