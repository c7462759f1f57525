"""The page about several methods: its numbers against the runs, its tests against the definitions, and its script."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from made_runs import clips_of, every, made_run
from scipy.stats import binomtest  # pyrefly: ignore[implicit-reexport]

from aman.ranking import holm
from aman.report.leaderboard import write_leaderboard
from aman.runs import find_runs
from jobs.paper_tables import paper_report

SMIC = "smic-hs-3"
TITLES = {"aman": "AMAN", "ststnet": "STSTNet", "lbp-top": "LBP-TOP + SVM"}


def run_of(folder: Path, method: str, right: Callable[[int], bool], seed: int = 0, **more: Any) -> Path:
    """A run of a method that has these clips right."""
    about: dict[str, Any] = {"method": method, "title": TITLES[method], "name": f"{method} default s{seed}"}
    about |= {"job": "compare", "uar": 0.5}
    more.setdefault("settings", {"epochs": {"aman": 2, "ststnet": 3}.get(method, 1)})
    return made_run(folder / f"{method}-s{seed}", right, seed=seed, **{**about, **more})


def three(folder: Path, **more: Any) -> None:
    for method, right in (("aman", every(3)), ("ststnet", every(5)), ("lbp-top", every(2))):
        run_of(folder, method, right, **more)


def board(here: Path, missing: Sequence[dict[str, str]] = ()) -> tuple[str, Path]:
    page = write_leaderboard(find_runs([here / "runs"]), missing, here / "out")[0]
    return page.read_text(), here / "out"


def test_a_row_has_the_numbers_of_its_run_and_the_best_method_is_first(here: Path) -> None:
    three(here / "runs")
    folder = here / "runs" / "ststnet-s0"
    values = json.loads((folder / "scores.json").read_text())
    more = {"parameters": 1683, "uf1_interval": [0.25, 0.75], "uar_interval": [0.3, 0.6]}
    (folder / "scores.json").write_text(json.dumps({**values, **more}))
    page, out = board(here)
    table = pd.read_csv(out / f"leaderboard-{SMIC}.csv")
    assert list(table["method"][:3]) == ["STSTNet", "AMAN", "LBP-TOP + SVM"]
    first = table.iloc[0]
    assert first["accuracy_percent"] == pytest.approx(80) and first["uf1_percent"] == pytest.approx(100 * values["uf1"])
    assert (first["low_percent"], first["high_percent"]) == (11.1, 99.9)
    assert first["uar_percent"] == 50 and first["parameters"] == 1683 and first["seconds_a_fold"] == 36
    assert (first["uf1_low_percent"], first["uar_high_percent"]) == (25, 60) and "<small>[25.0, 75.0]</small>" in page
    assert first["device"] == "cpu" and first["state"] == "complete"
    assert list(table["accuracy_percent"][3:]) == pytest.approx([100 * values["chance"]["majority"], 34.56])
    assert table["what_it_is"].tolist() == ["honest"] * 3 + ["chance"] * 2
    assert "131 of 164 clips, cut off and not rounded" in page  # what the AMAN paper's 79.87 % can be
    assert table["published"].tolist()[1] == "accuracy 79.87, F1 77.08"


def test_the_best_test_epoch_is_shown_beside_the_honest_score_and_never_in_its_place(here: Path) -> None:
    run_of(here / "runs", "aman", every(2), right_by_epoch=[every(5)])
    run_of(here / "runs", "lbp-top", every(3), guessing_best_of={"epochs": 1, "accuracy": 0.3})
    page, out = board(here)
    table: Any = pd.read_csv(out / f"leaderboard-{SMIC}.csv").set_index("method")
    assert table.loc["AMAN", "accuracy_percent"] == 50 and table.loc["AMAN", "best_test_epoch_percent"] == 80
    assert table.loc["AMAN", "guessing_best_epoch_percent"] == 54.32
    assert pd.isna(table.loc["LBP-TOP + SVM", "best_test_epoch_percent"])
    assert list(table.index[:2]) == ["LBP-TOP + SVM", "AMAN"], "the order is that of the honest scores"
    assert "best test epoch, tuned on test" in page and "guessing 54.3" in page


def right_of(folder: Path) -> Any:
    table = pd.read_csv(folder / "predictions.csv")
    return table["label"] == table["prediction"]


def test_paired_tests_are_mcnemars_with_the_largest_p_of_the_seeds_and_holms_correction(here: Path) -> None:
    for seed in (0, 1):
        run_of(here / "runs", "aman", every(3 + seed), seed)
        run_of(here / "runs", "ststnet", every(5 + seed), seed)
        run_of(here / "runs", "lbp-top", lambda position: position % 7 == 0, seed)
    page, out = board(here)
    table = pd.read_csv(out / f"paired-{SMIC}.csv").set_index("method")
    assert list(table["seeds"]) == [2, 2]
    largest = {}
    for method in ("ststnet", "lbp-top"):
        found, differences = [], []
        for seed in (0, 1):
            mine, aman = (right_of(here / "runs" / f"{one}-s{seed}") for one in (method, "aman"))
            only, other = int((mine & ~aman).sum()), int((aman & ~mine).sum())
            found.append(binomtest(only, only + other).pvalue)
            differences.append(100 * (mine.mean() - aman.mean()))
        row = table.loc[TITLES[method]]
        largest[method] = max(found)
        assert row["p"] == pytest.approx(max(found)) and row["accuracy"] == pytest.approx(sum(differences) / 2)
        assert row["accuracy_low"] <= row["accuracy"] <= row["accuracy_high"]
    assert list(table["p_holm"]) == pytest.approx(holm(list(largest.values())))
    assert "worse than AMAN" in page and "no difference shown" in page


def test_a_method_on_other_clips_is_not_tested_and_says_why(here: Path) -> None:
    three(here / "runs")
    run_of(here / "runs", "ststnet", every(5), 1, incomplete_why="1 of 6 folds missing", clips=clips_of(5))
    run_of(here / "runs", "aman", every(5), 1)
    page, out = board(here)
    table: Any = pd.read_csv(out / f"paired-{SMIC}.csv").set_index("method")
    assert pd.isna(table.loc["STSTNet", "p"]) and "clips that only one of the two tables has" in page
    assert table.loc["LBP-TOP + SVM", "p_holm"] == table.loc["LBP-TOP + SVM", "p"], "one test needs no correction"
    assert "incomplete: seed 1: 1 of 6 folds missing" in page


def test_differences_by_subject_and_class_are_those_of_the_predictions(here: Path) -> None:
    three(here / "runs")
    _, out = board(here)
    for part, column in (("subject", "subject"), ("class", "label")):
        table = pd.read_csv(out / f"by-{part}-{SMIC}.csv").set_index(part)
        clips = pd.read_csv(here / "runs" / "aman-s0" / "predictions.csv")
        aman, other = (100 * right_of(here / "runs" / f"{one}-s0").groupby(clips[column]).mean() for one in TITLES_TWO)
        assert table["AMAN, right in %"].to_dict() == pytest.approx(aman.to_dict())
        assert table["STSTNet, points more"].to_dict() == pytest.approx((other - aman).to_dict())
        assert table["clips"].sum() == 30


TITLES_TWO = ("aman", "ststnet")


@pytest.mark.slow
def test_ranks_are_drawn_for_three_methods_on_two_databases_and_else_the_page_says_why_not(here: Path) -> None:
    three(here / "runs" / "one")
    page, _ = board(here)
    assert "No diagram: ranks need 2 databases and 3 methods or more" in page and "here are 1 and 3" in page
    three(here / "runs" / "two", protocol="samm-5", database="samm")
    page, out = board(here)
    table = pd.read_csv(out / "ranks.csv")
    assert list(table["method"]) == ["STSTNet", "AMAN", "LBP-TOP + SVM"] and list(table["mean rank"]) == [1, 2, 3]
    assert "data:image/png;base64," in page and "critical difference of 2.34" in page
    (here / "runs" / "two" / "lbp-top-s0" / "scores.json").unlink()
    page, _ = board(here)
    assert "here are 2 and 2" in page and "for lack of a run on all clips of every database: LBP-TOP + SVM" in page


def test_what_did_not_run_is_on_the_page_with_its_reason(here: Path) -> None:
    three(here / "runs")
    missing = [
        {"protocol": "arrays", "configuration": "aman", "seed": seed, "why": "arrays <b>lack</b> it"} for seed in "01"
    ]
    page, out = board(here, missing)
    assert "arrays &lt;b&gt;lack&lt;/b&gt; it" in page and ">0, 1<" in page
    assert len(pd.read_csv(out / "not-run.csv")) == 2


def test_the_page_sorts_by_its_own_script_and_asks_no_network(here: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    three(here / "runs")
    run_of(here / "runs" / "more", "ststnet", every(4), title=evil, settings={"epochs": 9})
    page, out = board(here)
    assert page.count("<script>") == page.count("</script>") == 1 and "&lt;/script&gt;&lt;script&gt;alert" in page
    bare = re.sub('base64,[^"]*', "", page)
    assert not re.search(r"https?:|//|<link|@import|url\(|\bfetch\b|XMLHttp|\bsrc=\"(?!data:)", bare)
    names = set(re.findall(r'<a href="(\S+)\.csv">\1\.csv</a>, <a href="\1\.tex">', page))
    assert names == {path.stem for path in out.glob("*.csv")} == {path.stem for path in out.glob("*.tex")}
    assert re.search(
        r"^STSTNet ststnet default & 80\.0 \[11\.1, 99\.9\] & ", (out / f"leaderboard-{SMIC}.tex").read_text(), re.M
    )


@pytest.mark.slow
def test_table_2_has_our_row_right_under_the_printed_one(here: Path) -> None:
    run_of(here / "runs", "aman", every(3), protocol="casme2-5", database="casme2", settings={"k": 9, "n": 11})
    run_of(here / "runs", "lbp-top", every(5), protocol="casme2-5", database="casme2")
    run_of(here / "runs", "ststnet", every(4), protocol="casme2-5", database="casme2", selection="inner")
    paper_report(find_runs([here / "runs"]), here / "out")
    table = pd.read_csv(here / "out" / "table2.csv")
    mine = list(table[table["protocol"] == "casme2-5"]["method"])
    at = mine.index("LBP-TOP + SVM")
    assert mine[at + 1] == "LBP-TOP + SVM, ours (lbp-top default)"
    row = table[table["method"] == mine[at + 1]].set_index("protocol").loc["casme2-5"]
    assert row["accuracy_percent"] == 80 and row["what_it_is"] == "honest"
    inner = "STSTNet, ours, configuration chosen by inner folds (ststnet default)"
    assert inner in mine and "AMAN, configuration chosen by inner folds" in mine
    fixed = table[table["method"] == "AMAN, fixed configuration, last epoch"].set_index("protocol").loc["casme2-5"]
    assert fixed["accuracy_percent"] == pytest.approx(100 * 20 / 30, abs=1e-5), "another method is not AMAN"
    best = table[table["method"] == "AMAN, best of all configurations on the page"].set_index("protocol")
    assert best.loc["casme2-5", "accuracy_percent"] == pytest.approx(100 * 20 / 30, abs=1e-5)
