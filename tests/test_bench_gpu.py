"""The bench of a card runs every part, and says where there is none."""

import math
import re

import pytest
import torch

from aman.errors import UsageError
from aman.methods.aman import METHOD
from aman.models.settings import RECIPES
from bench import gpu


@pytest.mark.slow
def test_every_part_runs_at_a_tiny_size(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main(gpu.Options(device="cpu", small=True)) == 0
    lines = capsys.readouterr().out.splitlines()
    parts = [re.split(r"[,:]", line)[0] for line in lines[1:]]
    assert parts == [
        *["peak", "step", "graphs", "step", "graphs"] * 3,
        "fold",
        "fold",
        "magnify (learned)",
        *["frozen trunk", "the paper"] * 2,
    ]
    rates = [float(rate) for rate in re.findall(r"([\d.e-]+) TFLOP/s", "\n".join(lines))]
    assert len(rates) == 9 and min(rates) > 0
    assert [line.endswith(": a CPU has none") for line in lines if line.startswith("graphs")] == [True] * 6


def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match="no GPU") as raised:
        gpu.main(gpu.Options())
    assert raised.value.code == 2


def test_the_paper_is_as_many_trainings_as_its_job_plans() -> None:
    """26 configurations on 26, 27 and 16 left-out subjects, and five levels chosen by five inner folds of each."""
    trainings, cost, clips = gpu.paper(RECIPES["default"])
    folds = 26 + 27 + 16
    assert (trainings, clips) == (folds * (26 + 25), 246 + 136 + 164)
    whole = METHOD.cost(RECIPES["default"], clips)
    assert math.isfinite(cost) and cost > 20 * whole
