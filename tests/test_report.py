"""The report: what its cells hold, what is kept apart, what is said of what is missing, and that it is one page."""

import base64
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_runs import clips_of, every, made_run
from PIL import Image

from aman.errors import DataError
from aman.report.columns import columns_of
from aman.report.page import Figure
from aman.runs import EPOCHS, find_runs, read_run
from aman.scoring import best_test_epoch
from jobs import report as report_job
from jobs.paper_tables import paper_report

SMIC = "smic-hs-3"
FIGURES = {".png", ".svg", ".pdf"}
FIXED = "AMAN, fixed configuration, last epoch"
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def drawn() -> None:
    """Every figure is drawn; without this fixture each is one grey point, which takes no time."""


@pytest.fixture(autouse=True)
def undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def points(out: Path, figures: dict[str, Figure]) -> dict[str, list[Path]]:
        files = {stem: [out / f"{stem}.png"] for stem in figures}
        for (path,) in files.values():
            Image.new("L", (1, 1)).save(path)
        return files

    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("aman.report.page._drawn", points)


def report(here: Path, **more: Any) -> str:
    """The page about all runs below this folder."""
    return paper_report(find_runs([here / "runs"]), here / "out", **more)[0].read_text()


def cells(here: Path, table: str, protocol: str = SMIC) -> Any:
    """The rows of a table's CSV that are of a protocol."""
    found = pd.read_csv(here / "out" / f"{table}.csv", keep_default_na=False, dtype=str)
    return found[found["protocol"] == protocol].set_index(found.columns[0])


def pooled_interval(tables: list[pd.DataFrame]) -> tuple[float, float]:
    """The same interval with each subject left out in turn; all subjects here have five clips."""
    whole = pd.concat(tables)
    right, clips = int((whole["label"] == whole["prediction"]).sum()), len(whole)
    odds = []
    for subject in sorted(set(whole["subject"])):
        rest = whole[whole["subject"] != subject]
        hits = int((rest["label"] == rest["prediction"]).sum())
        odds.append(np.log((hits + 0.5) / (len(rest) - hits + 0.5)))
    reach = 2.570582 * np.sqrt(5 * np.var(odds))  # Student's t of six subjects
    middle = np.log((right + 0.5) / (clips - right + 0.5))
    low, high = (((clips + 1) / (1 + np.exp(-end)) - 0.5) / clips for end in (middle - reach, middle + reach))
    return float(low), float(high)


def test_copies_that_mlflow_keeps_of_a_run_are_no_further_runs(here: Path) -> None:
    folder = made_run(here / "runs" / "a", job="loso")
    shutil.copytree(folder, here / "runs" / "mlartifacts" / "1" / "0a1b" / "artifacts")
    assert [run.folder for run in find_runs([here / "runs"])] == [folder]


def test_a_cell_of_one_seed_has_the_numbers_of_its_run(here: Path) -> None:
    folder = made_run(here / "runs" / "a", job="loso")
    page, values = report(here), json.loads((folder / "scores.json").read_text())
    row = cells(here, "table2").loc[FIXED]
    assert float(row["accuracy_percent"]) == pytest.approx(100 * 22 / 30, abs=1e-5)
    assert float(row["f1_percent"]) == pytest.approx(100 * values["uf1"], abs=1e-5)
    assert (row["low_percent"], row["high_percent"]) == ("11.1", "99.9")
    assert (row["what_it_is"], row["seeds"], row["remark"]) == ("honest", "1", "")
    assert "73.3" in page and "[11.1, 99.9]" in page
    assert cells(here, "table2").loc["AMAN", "accuracy_percent"] == "79.87"
    assert cells(here, "table2").loc["AMAN", "f1_percent"] == "77.08"


@pytest.mark.slow
def test_the_interval_of_an_earlier_kind_is_computed_again_from_the_predictions(here: Path) -> None:
    folder = made_run(here / "runs" / "a", job="loso", interval_kind=None)
    report(here)
    row = cells(here, "table2").loc[FIXED]
    low, high = pooled_interval([pd.read_csv(folder / "predictions.csv")])
    assert float(row["low_percent"]) == pytest.approx(100 * low, abs=1e-4)
    assert float(row["high_percent"]) == pytest.approx(100 * high, abs=1e-4)
    (folder / "predictions.csv").unlink()
    report(here)
    row = cells(here, "table2").loc[FIXED]
    assert "predictions.csv, which cannot be read" in row["remark"]


def test_seeds_become_a_mean_with_their_spread_and_a_pooled_interval(here: Path) -> None:
    folders = [made_run(here / "runs" / f"s{seed}", every(3 + seed), seed=seed) for seed in range(3)]
    page, row = report(here), cells(here, "table2").loc[FIXED]
    accuracies = [20 / 30, 22 / 30, 24 / 30]
    assert float(row["accuracy_percent"]) == pytest.approx(100 * np.mean(accuracies), abs=1e-5)
    assert float(row["least_seed_percent"]) == pytest.approx(100 * 20 / 30, abs=1e-5)
    assert float(row["most_seed_percent"]) == 80 and row["seeds"] == "3"
    low, high = pooled_interval([pd.read_csv(folder / "predictions.csv") for folder in folders])
    assert float(row["low_percent"]) == pytest.approx(100 * low, abs=1e-5)
    assert float(row["high_percent"]) == pytest.approx(100 * high, abs=1e-5)
    assert "seeds 66.7 to 80.0" in page and "3 seeds" in page


def test_one_seed_run_twice_counts_once_and_the_complete_one(here: Path) -> None:
    made_run(here / "runs" / "a", every(2), incomplete_why="2 of 6 folds missing", clips=clips_of(4))
    made_run(here / "runs" / "b", every(5))
    made_run(here / "runs" / "c", every(3))
    report(here)
    row = cells(here, "table2").loc[FIXED]
    assert (row["accuracy_percent"], row["seeds"], row["remark"]) == ("80.0", "1", "")
    runs = pd.read_csv(here / "out" / "runs.csv")
    no = "no: same configuration and seed as another"
    assert list(runs["in the tables"]) == [no, "yes", no]


def test_an_incomplete_run_is_marked_wherever_its_number_is(here: Path) -> None:
    made_run(here / "runs" / "a", incomplete_why="3 of 26 folds missing")
    page, said = report(here), "incomplete: 3 of 26 folds missing"
    table = cells(here, "table2")
    assert table.loc[FIXED, "remark"] == said
    assert table.loc["AMAN, fixed configuration, best test epoch", "remark"] == said
    assert said in table.loc["chance: always the majority class", "remark"]
    assert said in table.loc["chance: guessing, best test epoch", "remark"]
    assert table.loc["AMAN, best of all configurations on the page", "remark"] == "no complete run"
    for name, value in (("table1", "9"), ("figure3", "11"), ("table3", "both")):
        assert said in list(cells(here, name).loc[[value], "remark"])
        text = (here / "out" / f"{name}.tex").read_text()
        assert f"(a) {said}" in text and "73.3 (a)" in text
    assert page.count("<sup>a</sup>") >= 4
    assert said in (here / "out" / "runs.csv").read_text() and f"quick. {said}." in page


@pytest.mark.slow
def test_one_protocol_on_other_clips_is_another_column(here: Path) -> None:
    made_run(here / "runs" / "a", every(2))
    made_run(here / "runs" / "b", every(5), fingerprint="77" * 32)
    page = report(here)
    assert f"{SMIC} [abababab]" in page and f"{SMIC} [77777777]" in page and "they stand apart" in page
    rows = cells(here, "table2").loc[[FIXED]].set_index("fingerprint")
    assert rows.loc["ab" * 32, "accuracy_percent"] == "50.0" and rows.loc["77" * 32, "accuracy_percent"] == "80.0"
    made_run(here / "runs" / "c", every(5), protocol="casme2-5", database="casme2")
    page = report(here)
    assert cells(here, "table2", "casme2-5").loc[FIXED, "accuracy_percent"] == "80.0" and "casme2-5 [" not in page


def test_what_was_tuned_on_the_test_is_stamped(here: Path) -> None:
    # Epoch 1 is right where the last is wrong: the best epoch of each subject is better than the last one.
    made_run(here / "runs" / "a", every(2), [every(5), every(3)])
    made_run(here / "runs" / "b", every(6), settings={"k": 8})
    stamp: dict[str, Any] = {
        "selection": "literature",
        "stamp": "tuned on test",
        "name": "joint literature s0",
        "job": "tune",
    }
    made_run(here / "runs" / "c", every(10), **stamp)
    page, table = report(here), cells(here, "table2")
    assert table.loc[FIXED, "accuracy_percent"] == "50.0"
    best = table.loc["AMAN, fixed configuration, best test epoch"]
    assert best["accuracy_percent"] == "80.0" and best["what_it_is"] == "tuned on test"
    of_all = table.loc["AMAN, best of all configurations on the page"]
    assert float(of_all["accuracy_percent"]) == pytest.approx(100 * 25 / 30, abs=1e-5)
    assert of_all["remark"] == "k=8 n=11 layer4 quick: best of 2 complete configurations"
    searched = table.loc["AMAN, configuration chosen by the left-out clips (joint literature)"]
    assert searched["accuracy_percent"] == "90.0" and searched["what_it_is"] == "tuned on test"
    assert page.count('<tr class="tuned">') == 4
    assert page.count('<span class="stamp">tuned on test</span>') == 5  # three rows, that of the run, and the legend
    assert (here / "out" / "table2.tex").read_text().count("& tuned on test &") == 3


def test_the_best_epoch_is_that_of_each_subject(here: Path) -> None:
    folder = made_run(here / "a", lambda i: i < 15, [lambda i: i >= 15, lambda i: i % 5 == 0])
    table = best_test_epoch(read_run(folder).table(EPOCHS))
    chosen = table.groupby("subject")["epoch"].first()
    assert list(chosen) == [3, 3, 3, 1, 1, 1] and len(table) == 30
    assert (table["label"] == table["prediction"]).all()


def test_inner_folds_are_honest_and_what_they_chose_is_listed(here: Path) -> None:
    chosen = {f"smic/s{s:02d}": f"k={9 if s < 5 else 7}" for s in range(1, 7)}
    made_run(here / "runs" / "a", selection="inner", name="level_ceiling inner s0", job="tune", chosen=chosen)
    page, table = report(here), cells(here, "table2")
    row = table.loc["AMAN, configuration chosen by inner folds (level_ceiling inner)"]
    assert row["what_it_is"] == "honest" and row["accuracy_percent"].startswith("73.3")
    assert table.loc[FIXED, "remark"] == "not run" and f"{SMIC}: no run of a fixed configuration" in page
    assert "smic/s05, smic/s06" in page and len(pd.read_csv(here / "out" / "chosen.csv")) == 6


def test_missing_cells_say_why(here: Path) -> None:
    folder = made_run(here / "runs" / "a", settings={"n": 3})
    (folder / "epochs.csv").unlink()
    (folder / "folds.csv").write_text("subject\n1\n")
    page, table = report(here), cells(here, "table2")
    assert table.loc["AMAN, configuration chosen by inner folds", "remark"] == "not run"
    assert (
        "epochs.csv, which cannot be read (No such file"
        in table.loc["AMAN, fixed configuration, best test epoch", "remark"]
    )
    assert cells(here, "table2", "samm-5").loc["LBP-SIP", "remark"] == "the paper prints none"
    assert cells(here, "table2", "samm-5").loc[FIXED, "remark"] == "not run"
    assert "not run, and the paper prints none: n = 1, 2, 4, 5, 6, 7, 8, 9, 10, 12" in page
    assert "No run chose its configuration by inner folds" in page and "No curve: no two values were run" in page
    assert "not counted: " in page and "no column seconds, device, key" in page
    assert f"{SMIC}: no run has a magnification.png" in page
    assert "the paper prints none of these on smic-hs-3" in page  # Table 1


def test_a_sweep_is_the_runs_that_agree_in_all_else(here: Path) -> None:
    for k in (7, 8, 9):
        made_run(here / "runs" / f"k{k}", every(k - 4), settings={"k": k, "grid_factors": k})
    made_run(here / "runs" / "rate", every(30), settings={"k": 10, "rate": 0.1})
    page, table = report(here), cells(here, "table1")
    shares = {"7": 20 / 30, "8": 22 / 30, "9": 24 / 30}
    for value, share in shares.items():
        assert float(table.loc[value, "accuracy_percent"]) == pytest.approx(100 * share, abs=1e-5)
    assert table.loc["10", "remark"] == "not run"
    assert "table1-curves.png" in page and "figure3-curves" not in page
    table = cells(here, "table1", "casme2-5")
    assert list(table.loc["9", "accuracy_percent"]) == ["", "75.4"]
    assert list(table.loc["9", "what_it_is"]) == ["honest", "printed"]


def test_among_equal_configurations_the_base_is_the_one_most_like_the_papers_whatever_they_scored(here: Path) -> None:
    for attention, scored in (("fa", every(9)), ("ma", every(7)), ("both", every(2))):  # folders af, am, htob
        settings = {"k": 9, "n": 3, "attention": attention}
        made_run(here / "runs" / attention[::-1], scored, settings=settings, name=f"k=9 n=3 {attention} s0")
    (column,) = columns_of(find_runs([here / "runs"]))
    assert column.base and column.base.settings["attention"] == "both"


def test_the_base_is_named_else_the_papers_else_that_of_loso_else_the_middle_one(here: Path) -> None:
    for k in (5, 6, 7):
        made_run(here / "runs" / f"k{k}", settings={"k": k, "n": 4})
    made_run(here / "runs" / "n", settings={"k": 6, "n": 5})

    def base(**wanted: Any) -> str:
        (column,) = columns_of(find_runs([here / "runs"]), base=wanted)
        return column.base.name if column.base else "none"

    assert base() == "k=6 n=4 layer4 quick"
    made_run(here / "runs" / "loso", settings={"k": 3, "n": 2}, job="loso")
    assert base() == "k=3 n=2 layer4 quick"
    made_run(here / "runs" / "paper")
    made_run(here / "runs" / "paper-ma", settings={"attention": "ma"}, job="loso", name="k=9 n=11 ma s0")
    assert base() == "k=9 n=11 layer4 quick"
    assert base(k=7, grid_factors=99) == "k=7 n=4 layer4 quick" and base(k=4) == "none"


def test_hours_count_a_shared_fold_once_and_by_device(here: Path) -> None:
    for name in ("a", "b"):
        made_run(here / "runs" / name)
    made_run(here / "runs" / "c", settings={"k": 8}, device="NVIDIA H100")
    report(here)
    table = pd.read_csv(here / "out" / "hours.csv").set_index("device")
    assert table.loc["cpu", "hours"] == pytest.approx(6 * 36 / 3600) and table.loc["cpu", "unit"] == "CPU core-hours"
    assert table.loc["NVIDIA H100", "folds"] == 6 and table.loc["NVIDIA H100", "unit"] == "GPU-hours"


def test_confusion_and_attention_are_those_of_the_predictions(here: Path) -> None:
    for seed in (0, 1):
        made_run(here / "runs" / f"s{seed}", every(4 + seed), settings={"k": 3}, seed=seed)
    report(here)
    confusion = pd.read_csv(here / "out" / f"confusion-{SMIC}.csv")
    assert confusion["clips"].sum() == 60
    right = sum(confusion[f"said {name}"][i] for i, name in enumerate(confusion["true class"]))
    assert right == 22 + 24
    levels = pd.read_csv(here / "out" / f"attention-levels-{SMIC}.csv").set_index("clips of")
    assert len(levels) == 3 + 6 and levels.loc["subject smic/s03", "clips"] == 10
    assert list(levels.loc["positive"].iloc[1:]) == [16.7, 33.3, 50.0]  # 1, 2 and 3 of 6


def test_names_are_text_on_the_page_and_in_latex(here: Path) -> None:
    evil = "<script>alert(1)</script>\" onload='x' \\input{/etc/passwd} 5% a_b & $x$"
    made_run(here / "runs" / "a", name=evil, command=evil, protocol=evil, git_commit=evil, incomplete_why=evil)
    page = report(here)
    assert page.lower().count("<script") == 1 and "&lt;script&gt;alert(1)" in page
    for path in (here / "out").glob("*.tex"):
        body = re.sub("(^|(?<={))%.*$", "", path.read_text(), flags=re.MULTILINE)
        assert "\\input" not in body and not re.search(r"(?<!\\)[%$_]", body), path.name
    assert all(path.parent == here / "out" for path in (here / "out").rglob("*"))


@pytest.mark.slow
def test_every_table_is_there_as_csv_and_latex(here: Path, drawn: None) -> None:
    made_run(here / "runs" / "a")
    page = report(here)
    names = set(re.findall(r'<a href="(\S+)\.csv">\1\.csv</a>, <a href="\1\.tex">', page))
    assert names == {path.stem for path in (here / "out").glob("*.tex")}
    assert {"scores", "table1", "table2", "table3", "figure3", "columns", "hours", "runs"} < names and len(names) == 12
    assert page.count("<table") == len(names)
    for name in names:
        text = (here / "out" / f"{name}.tex").read_text()
        assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 1
        assert len(pd.read_csv(here / "out" / f"{name}.csv")) > 0
    written = {path.name for path in (here / "out").iterdir()}
    linked = set(re.findall('<a href="([^"#]+)">', page))
    assert written == linked | {"report.html", "figures.json"}, "a dead link, or a file that nothing leads to"
    assert {path.suffix for path in (here / "out").iterdir()} - {".html", ".csv", ".tex", ".json"} == FIGURES


@pytest.mark.slow
def test_the_page_refers_to_nothing_outside_and_every_picture_decodes(here: Path, drawn: None) -> None:
    for k in (8, 9):
        folder = made_run(here / "runs" / f"k{k}", settings={"k": k})
    Image.new("RGB", (40, 30), "red").save(folder / "magnification.png")
    other = made_run(here / "runs" / "samm", protocol="samm-5", database="samm")
    (other / "magnification.png").write_bytes((folder / "magnification.png").read_bytes()[:60])
    page = report(here)
    assert not re.search(r"https?:|//|<script .|<link|@import|url\(|fetch", re.sub('base64,[^"]*', "", page))
    sources = re.findall('src="([^":,]*)', page)
    assert sources == ["data"] * 6 and not re.search('href="[^#"]*[/:]', page)
    pictures = re.findall('src="data:image/png;base64,([^"]*)"', page)
    assert len(pictures) == 6  # two columns by subject and by epoch, the curve and one strip
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).load()
    assert re.search(r"samm-5: \S*magnification.png cannot be read", page)


def test_two_runs_are_compared_on_the_terminal_and_in_the_page(call_job: Call, here: Path) -> None:
    made_run(here / "runs" / "a", every(3))
    made_run(here / "runs" / "b", every(5), settings={"k": 8})
    code, text = call_job(report_job, "--compare", "runs/a", "runs/b")
    page = (here / "runs" / "report" / "report.html").read_text()
    assert code == 0, text
    # Wrong at multiples of 3 there, of 5 here: 8 and 4 of 30 but for the two at 0 and 15.
    assert "k=9 n=11 layer4 quick s0 less k=8 n=11 layer4 quick s0, 30 clips" in text
    table = pd.read_csv(here / "runs" / "report" / "comparison-1.csv").set_index("what")["value"]
    assert table["clips right only in k=9 n=11 layer4 quick s0"] == 4
    assert table["clips right only in k=8 n=11 layer4 quick s0"] == 8
    assert table["difference in accuracy"] == pytest.approx(-13.3) and "Paired tests" in page
    assert "Next: open runs/report/report.html" in text
    made_run(here / "runs" / "c", clips=clips_of(5))
    code, text = call_job(report_job, "--compare", "runs/a", "runs/c")
    assert code == 4 and "5 clips that only one of the two tables has" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is none in it or below it"),
        ('{"job": "loso", ', "scores.json is damaged"),
        ("[]", "scores.json is damaged"),
        ('{"accuracy": 0.5, "protocol": "synthetic"}', "scores.json lacks job, name, selection"),
        ("accuracy", "scores.json lacks accuracy"),
    ],
)
def test_a_folder_that_holds_no_run_is_one_sentence(call_job: Call, here: Path, content: str | None, said: str) -> None:
    folder = here / "runs" / "a"
    if content == "accuracy":
        made_run(folder, accuracy="much")
    else:
        folder.mkdir(parents=True)
        if content is not None:
            (folder / "scores.json").write_text(content)
    code, text = call_job(report_job)
    assert code == 4 and said in text and text.startswith("error: got ") and text.count("\n") == 1
    assert not (here / "runs" / "report").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(call_job: Call, here: Path) -> None:
    made_run(here / "runs" / "a")
    (here / "file").write_text("")
    code, text = call_job(report_job, "runs/a", "--out", "file")
    assert code == 2 and "file, which cannot be written" in text
    code, text = call_job(report_job, "nowhere")
    assert code == 4 and "no such folder" in text


def test_a_table_that_lacks_a_column_is_said(here: Path) -> None:
    folder = made_run(here / "a")
    lines = (folder / "predictions.csv").read_text().splitlines(keepends=True)
    (folder / "predictions.csv").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=f"{len(lines) - 2} rows where scores.json counts {len(lines) - 1} clips"):
        read_run(folder).table()
    (folder / "predictions.csv").write_text("clip,subject\na,b\n")
    with pytest.raises(DataError, match="no column label, prediction"):
        read_run(folder).table()


def test_the_headline_is_the_score_in_a_sentence_and_names_flat_folds(here: Path) -> None:
    flat = {"alpha": {"plural": "levels", "flat_folds": ["smic/s02", "smic/s05"]}}
    made_run(here / "runs" / "a", interval=[0.4, 0.9], uar=0.7212, attention=flat)
    made_run(here / "runs" / "b", interval=[0.2, 0.9], protocol="samm-5", database="samm")
    made_run(here / "runs" / "c", interval=[0.1, 0.3], protocol="casme2-5", incomplete_why="2 of 6 folds missing")
    page = report(here)
    first = re.sub("<[^>]+>|\\s+", " ", page[page.index('class="headline"') : page.index("<nav>")])
    for text in (
        "73.3 % accuracy; UF1 72.6 %, UAR 72.1 %",
        "40.0 to 90.0 %, is above the chance level of 33.3 %: the method tells expressions",
        "20.0 to 90.0 %, holds the chance level of 33.3 %: it is not shown",
        "10.0 to 30.0 %, is below the chance level of 33.3 %: always saying",
        "Incomplete: 2 of 6 folds missing.",
        "The attention alpha learned nothing in 2 of 6 folds with seed 0 (smic/s02, smic/s05): all levels have",
    ):
        assert text in " ".join(first.split()), text


def test_every_run_is_there_with_its_scores_and_what_differs(here: Path) -> None:
    made_run(here / "runs" / "a", every(3), settings={"k": 8, "grid_factors": 8}, uar=0.6, uar_interval=[0.5, 0.7])
    made_run(here / "runs" / "b", every(5), seed=1)
    made_run(here / "runs" / "c", every(4), method="htnet", settings={"dim": 8})
    report(here)
    table = pd.read_csv(here / "out" / "scores.csv")
    assert list(table["accuracy_percent"].round(1)) == [80.0, 73.3, 66.7] and list(table["method"]) == [
        "aman",
        "htnet",
        "aman",
    ]
    assert list(table.columns[:6]) == ["run", "method", "protocol", "k", "seed", "accuracy_percent"]
    assert list(table["k"]) == [9, 9, 8] and list(table["seed"]) == [1, 0, 0]
    row = table.iloc[2]
    assert (row["uar_percent"], row["uar_low_percent"], row["uar_high_percent"]) == (60, 50, 70)
    assert table["uf1_percent"].iloc[0] == pytest.approx(80, abs=0.5) and row["chance_percent"] == pytest.approx(
        100 / 3
    )


@pytest.mark.slow
def test_figures_show_what_the_predictions_and_losses_say_and_are_drawn_once(here: Path, drawn: None) -> None:
    folder = made_run(here / "runs" / "a", every(4), [every(2), every(3)])
    subjects = [f"smic/s{s:02d}" for s in range(1, 7)]
    losses = pd.DataFrame(
        [(one, epoch, 1 / epoch + place) for place, one in enumerate(subjects) for epoch in (1, 2, 3)]
    )
    losses.set_axis(["subject", "epoch", "loss"], axis=1).to_csv(folder / "losses.csv", index=False)
    report(here)
    said = pd.read_csv(folder / "predictions.csv")
    bars = pd.read_csv(here / "out" / f"subjects-{SMIC}.csv").set_index("subject")
    assert dict(bars["right"]) == dict((said["label"] == said["prediction"]).groupby(said["subject"]).sum())
    assert set(bars["clips"]) == {5} and bars.loc["smic/s01", "accuracy_percent"] == 60
    epochs = pd.read_csv(here / "out" / f"epochs-{SMIC}.csv")
    assert list(epochs["accuracy_percent"]) == pytest.approx([50, 100 * 20 / 30, 100 * 22 / 30])
    assert list(epochs["loss"]) == pytest.approx([3.5, 3, 2.5 + 1 / 3]) and epochs["most_loss"].iloc[0] == 6
    for name in (f"subjects-{SMIC}", f"epochs-{SMIC}"):
        assert (here / "out" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert "<svg" in (here / "out" / f"{name}.svg").read_text()
    times = {path: path.stat().st_mtime_ns for path in (here / "out").iterdir() if path.suffix in FIGURES}
    report(here)
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_the_page_says_when_by_what_and_where_it_and_its_runs_were_made(here: Path) -> None:
    noted: dict[str, Any] = {"began": "2026-01-02T03:04:05+00:00", "ended": "2026-01-02T05:06:07+00:00"}
    made_run(here / "runs" / "a", **noted, version="9.8.7", machine="An abacus, 3 CPUs")
    made_run(here / "runs" / "b", settings={"k": 8})
    foot = re.sub(r"\s+", " ", report(here).partition("<footer>")[2])
    assert re.match(r"This page was made on \d{4}-\d\d-\d\d \d\d:\d\d UTC by aman-cluster", foot)
    assert "Runs from 2026-01-02 03:04 UTC to 2026-01-02 05:06 UTC, version 9.8.7, jobs on An abacus, 3 CPUs." in foot
    assert "1 of 2 runs are of an earlier version" in foot


def test_latex_has_a_caption_a_label_and_no_column_without_content(here: Path) -> None:
    made_run(here / "runs" / "a", name="50 % of a_b & {c} ~^", git_commit="")
    report(here)
    for path in (here / "out").glob("*.tex"):
        text = path.read_text()
        assert text.count(r"\caption{") == 1 and f"\\label{{tab:{path.stem}}}" in text
    runs = (here / "out" / "runs.tex").read_text()
    assert "fingerprint" in runs and "commit" not in runs.partition(r"\begin{tabular}")[2]
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        pytest.skip("no LaTeX is installed")
    found = [subprocess.run(["kpsewhich", f"{one}.sty"], check=False).returncode for one in ("booktabs", "graphicx")]
    if any(found):
        pytest.skip("no LaTeX with booktabs and graphicx is installed")
    parts = "".join(f"\\input{{{path.name}}}\n" for path in sorted((here / "out").glob("*.tex")))
    head = "\\documentclass{article}\n\\usepackage{booktabs,graphicx}\n"
    (here / "out" / "whole.tex").write_text(f"{head}\\begin{{document}}\n{parts}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "whole.tex"]
    done = subprocess.run(command, cwd=here / "out", capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (here / "out" / "whole.pdf").read_bytes().startswith(b"%PDF")
