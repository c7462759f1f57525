"""A disk that does not keep what it is given: every job says so and ends with an error, whatever it computes."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from small import PAPER_OPTIONS, TINY_OPTIONS, small_database

from aman.errors import DataError
from cluster.experiment.run import REPAIRS
from cluster.store.folder import FolderStore
from jobs import ablation, loso, paper, tune

SPACE = 'from tune_spaces import Space\nSPACE = Space(reproduces="nothing", choices={"k": (1, 2)})\n'


@pytest.mark.parametrize(
    ("job", "options"),
    [
        (loso, TINY_OPTIONS),
        (tune, [*TINY_OPTIONS, "--space", "space.py"]),
        (tune, [*TINY_OPTIONS, "--space", "space.py", "--selection", "literature", "--stopping", "race"]),
        (paper, [*PAPER_OPTIONS, "--only", "table1", "inner"]),
        (ablation, PAPER_OPTIONS),
    ],
)
def test_a_job_whose_clips_stay_damaged_after_all_repairs_says_so_and_never_exits_0(
    call_job: Callable[..., tuple[int, str]],
    monkeypatch: pytest.MonkeyPatch,
    here: Path,
    job: ModuleType,
    options: list[str],
) -> None:
    root = small_database(here / "release", subjects=3, clips_per_subject=1)
    (here / "space.py").write_text(SPACE)
    keep = FolderStore.put

    def flip_a_bit_of_features(self: FolderStore, name: str, content: bytes) -> bool:
        damaged = content[:-1] + bytes([content[-1] ^ 1]) if b"feature_LKCHW" in content[:200] else content
        return keep(self, name, damaged)

    attempts = REPAIRS if job is loso else 1  # the other jobs repair in the loop that this one repairs in
    monkeypatch.setattr("cluster.experiment.run.REPAIRS", attempts)
    monkeypatch.setattr(FolderStore, "put", flip_a_bit_of_features)
    wanted = ("--root", root, *options, "--here", "--tracking-uri", "none")
    code, text = call_job(job, *wanted)
    assert code == DataError.code, text
    assert text.count("are gone or damaged") == attempts
    assert f"damaged again after {attempts} attempts" in text and "--store" in text
    if job is loso:
        monkeypatch.setattr(FolderStore, "put", keep)
        code, text = call_job(job, *wanted)
        assert code == 0, text
