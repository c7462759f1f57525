"""The replay of races: its lower bound, its invented tables and the recorded ones that it reads."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from aman.errors import DataError
from bench.racing import ORDERS, RECORDED, Table, bound, invented, read_table, replay


def small(seed: int) -> Table:
    rng = np.random.default_rng(seed)
    clips = {f"s{number}": int(size) for number, size in enumerate(rng.integers(1, 6, 3))}
    right = {f"c{n}": {s: int(rng.integers(0, size + 1)) for s, size in clips.items()} for n in range(3)}
    return Table(clips=clips, right=right)


def proves(table: Table, known: set[tuple[str, str]]) -> bool:
    """Whether these folds alone say who wins with which count, whatever the others came to."""
    names, clips = list(table.right), sum(table.clips.values())
    best = table.winner
    if any((best, subject) not in known for subject in table.clips):
        return False
    for name in names:
        wrong = sum(table.clips[s] - table.right[name][s] for s in table.clips if (name, s) in known)
        rank = clips - wrong, -names.index(name)
        if name != best and rank > (table.total(best), -names.index(best)):
            return False
    return True


@pytest.mark.parametrize("seed", range(12))
def test_the_bound_is_the_fewest_folds_that_prove_the_winner(seed: int) -> None:
    table = small(seed)
    folds = [(name, subject) for name in table.right for subject in table.clips]
    chosen = ({fold for fold, taken in zip(folds, mask, strict=True) if taken} for mask in product((0, 1), repeat=9))
    assert bound(table) == min(len(known) for known in chosen if proves(table, known))


@pytest.mark.parametrize("workers", [1, 3])
def test_a_replay_finds_the_winner_with_no_fewer_folds_than_the_bound(workers: int) -> None:
    for seed, order in product(range(12), ORDERS):
        table = small(seed)
        race = replay(table, order, workers, seed)
        assert race.winner == table.winner
        assert bound(table) <= race.trained <= table.folds


@pytest.mark.parametrize("workers", [1, 8])
def test_recorded_folds_of_50_configurations_give_the_winner_with_three_fifths_of_them_at_most(workers: int) -> None:
    table = read_table(RECORDED)
    assert (len(table.right), len(table.clips), sum(table.clips.values())) == (50, 8, 80)
    for seed, order in product(range(5), ORDERS):
        race = replay(table, order, workers, seed)
        assert race.winner == table.winner and race.standings()[0].least == table.total(table.winner)
        assert race.trained <= 0.6 * table.folds


def test_invented_folds_are_those_of_a_full_size_look_alike_and_scatter_as_asked() -> None:
    table = invented(0, 200, 3.0)
    assert sum(table.clips.values()) == 246 and len(table.clips) == 26 and table.clips["17"] == 34
    accuracies = [100 * table.total(name) / 246 for name in table.right]
    assert np.mean(accuracies) == pytest.approx(70.65, abs=0.7)
    assert np.std(accuracies) == pytest.approx(3.0, abs=0.4)
    assert all(0 <= right <= table.clips[subject] for one in table.right.values() for subject, right in one.items())
    assert invented(0, 200, 3.0) == table != invented(1, 200, 3.0)


def test_recorded_folds_are_read_from_tables_and_from_predictions_of_runs(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("configuration,subject,clips,correct\nk=7,01,3,2\nk=7,02,2,2\n")
    rows = [{"configuration": "k=8", "subject": s, "clips": n, "correct": 1} for s, n in (("01", 3), ("02", 2))]
    (tmp_path / "b.json").write_text(json.dumps(rows))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "scores.json").write_text('{"accuracy": 0.5}')
    lines = ["1,01,a,a", "2,01,a,b", "3,01,b,b", "4,02,a,b", "5,02,b,a"]
    (tmp_path / "run" / "predictions.csv").write_text("\n".join(["clip,subject,label,prediction", *lines]))
    table = read_table(tmp_path)
    assert table.clips == {"01": 3, "02": 2}
    right = {"k=7": {"01": 2, "02": 2}, "k=8": {"01": 1, "02": 1}, "run": {"01": 2, "02": 0}}
    assert table.right == right


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("k=7,01,3,2\nk=7,02,2,2\nk=8,01,3,1", r"unfinished: k=8 \(1 of 2\)"),
        ("k=7,01,3,2\nk=8,01,4,1", "k=8, 01 with 1 of 4 clips right"),
        ("k=7,01,3,4", "4 of 3 clips right"),
        ("k=7,01,3,2\nk=7,01,3,2", "k=7, 01 with 2 of 3"),
        ("", "with 0 configurations"),
    ],
)
def test_records_that_are_no_whole_table_are_refused(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "folds.csv").write_text(f"configuration,subject,clips,correct\n{rows}\n")
    with pytest.raises(DataError, match=said):
        read_table(tmp_path)
