"""Jobs as users run them: what they write, how they go on, what they say of bad input."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from small import TINY_OPTIONS, samm_row, small_database, small_samm, small_smic

from aman.content import content_key
from jobs import cache, check_database, loso, score, synthesize

ROOT = Path(__file__).parents[1]
SETTINGS = [*TINY_OPTIONS, "--here"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_database(tmp_path_factory.mktemp("release"), subjects=3, clips_per_subject=3)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that tests share which need finished folds and not the finishing; each fills it where it must."""
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def call(call_job: Callable[..., tuple[int, str]]) -> Callable[..., tuple[int, str]]:
    """Run a job, loso unless another is named: its exit code and all that it printed."""
    return lambda *arguments, job=loso: call_job(job, *arguments)


@pytest.fixture
def release(whole: Path, here: Path) -> Path:
    """A copy of the small release that a test may damage."""
    return Path(shutil.copytree(whole, here / "release"))


def clip_folder(release: Path) -> Path:
    return sorted(release.glob("CASME2_RAW_selected/sub*/*"))[0]


def frames_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jpg"), key=lambda path: int(path.stem.removeprefix("img")))


@pytest.mark.slow
def test_a_run_leaves_scores_predictions_figures_and_one_mlflow_run_and_a_rerun_computes_nothing(
    call: Callable[..., tuple[int, str]], whole: Path, store: Path, here: Path, drawn_figures: None
) -> None:
    code, text = call("--root", whole, *SETTINGS, "--store", store, "--json", "result.json")
    assert code == 0, text
    result = json.loads((here / "result.json").read_text())
    assert (result["protocol"], result["clips"], result["folds"]) == ("synthetic", 9, 3)
    assert (result["computed_clips"], result["computed_folds"], result["incomplete"]) == (9, 3, False)
    assert result["chance"]["majority"] == pytest.approx(3 / 9, abs=0.12)
    table = pd.read_csv(result["predictions"], dtype={"subject": str})
    assert len(table) == 9 and table["clip"].is_unique
    assert result["accuracy"] == pytest.approx((table["label"] == table["prediction"]).mean())
    assert np.allclose(table[[name for name in map(str, table) if name.startswith("p_")]].sum(axis=1), 1)
    assert np.array(json.loads(table["alpha"][0])).shape == (2, 2)
    for name in ("confusion", "attention_levels", "attention_frames", "magnification"):
        picture = cv2.imread(str(Path(result["predictions"]).parent / f"{name}.png"))
        assert picture is not None and picture.std() > 1
    assert "chance (majority class)" in text and "fold 3/3" in text and "Next: " in text

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{here}/runs/mlflow.db")
    run = client.get_run(result["run_id"])
    assert run.data.metrics["pooled/accuracy"] == round(result["accuracy"], 4)
    assert run.data.metrics["by_epoch/left_out_accuracy"] == round(result["accuracy"], 4), (
        "the last epoch is what counts"
    )
    times = [datetime.fromisoformat(result[name]).timestamp() for name in ("began", "ended")]
    assert [run.info.start_time / 1000, run.info.end_time / 1000] == times
    assert f"| accuracy | {100 * result['accuracy']:.1f} |" in run.data.tags["mlflow.note.content"]
    assert run.info.run_name == f"loso {result['name']}"
    assert result["name"] == "k=2 n=2 layer4 align=none magnifier=linear trunk_size=64 epochs=3 quick s0"
    assert {name: run.data.params[name] for name in ("k", "recipe", "seed")} == {
        "k": "2",
        "recipe": "quick",
        "seed": "0",
    }
    wanted = {"job": "loso", "selection": "fixed", "stamp": "honest", "protocol": "synthetic", "incomplete": "no"}
    wanted |= {name: result[name] for name in ("fingerprint", "checkpoint_rule", "git_commit", "command")}
    wanted |= {"trunk_sha256": result["digests"]["trunk"], "weights_sha256": content_key(result["weights"])}
    assert wanted.items() <= run.data.tags.items()
    assert run.data.tags["mlflow.source.git.commit"] == result["git_commit"].removesuffix("+")
    assert run.inputs is not None
    dataset = run.inputs.dataset_inputs[0].dataset
    assert (dataset.name, dataset.digest) == ("synthetic", result["fingerprint"][:36])
    profile = json.loads(dataset.profile or "")
    assert (profile["num_rows"], profile["folds"], list(profile["classes"])) == (9, 3, result["classes"])
    there = {item.path for item in client.list_artifacts(result["run_id"])}
    assert there >= {
        "predictions.csv",
        "epochs.csv",
        "folds.csv",
        "folds.json",
        "scores.json",
        "confusion.png",
        "losses.csv",
        "magnified.gif",
    }

    code, text = call("--root", whole, *SETTINGS, "--store", store, "--json", "again.json")
    again = json.loads((here / "again.json").read_text())
    assert code == 0
    assert (again["computed_clips"], again["computed_folds"]) == (0, 0)
    assert again["run_id"] == result["run_id"]
    assert {key: again[key] for key in ("accuracy", "uf1", "uar", "weights", "interval")} == {
        key: result[key] for key in ("accuracy", "uf1", "uar", "weights", "interval")
    }
    experiment = client.get_experiment_by_name("aman/synthetic")
    assert experiment is not None and len(client.search_runs([experiment.experiment_id])) == 1


def test_a_plan_says_what_is_to_do_and_starts_and_stores_nothing(
    call: Callable[..., tuple[int, str]], whole: Path, here: Path
) -> None:
    code, text = call("--root", whole, *SETTINGS, "--plan")
    assert code == 0
    assert "9 to prepare" in text and "3 to train" in text and "estimate: " in text
    assert list(here.iterdir()) == []
    code, text = call("--plan")
    assert code == 0 and "would be made first" in text
    assert list(here.iterdir()) == []


def empty(folder: Path) -> str:
    for path in frames_of(folder):
        path.unlink()
    return "no frame from onset"


def truncated(folder: Path) -> str:
    path = frames_of(folder)[2]
    path.write_bytes(path.read_bytes()[:-200])
    return f"{path.name}, an image that is cut off"


def another_size(folder: Path) -> str:
    path = frames_of(folder)[3]
    cv2.imwrite(str(path), np.zeros((20, 24, 3), dtype=np.uint8))
    return f"{path.name} of 24x20 pixels"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [empty, truncated, another_size])
def test_a_damaged_clip_is_named_and_the_others_stay_usable(
    call: Callable[..., tuple[int, str]],
    release: Path,
    store: Path,
    damage: Callable[[Path], str],
) -> None:
    said = damage(clip_folder(release))
    code, text = call("--root", release, *SETTINGS, "--store", store)
    assert code == 4
    assert said in text and "expected" in text and "fix:" in text
    if damage is not empty:  # which is seen before anything is prepared
        code, text = call("--root", release, *SETTINGS, "--store", store, "--plan")
        assert "8 need no preparation, 1 to prepare" in text


@pytest.mark.slow
def test_a_run_without_a_damaged_clip_is_stamped_incomplete_in_every_output(
    call: Callable[..., tuple[int, str]], release: Path, store: Path, here: Path
) -> None:
    truncated(clip_folder(release))
    wanted = ["--root", release, *SETTINGS, "--store", store, "--allow-incomplete"]
    code, text = call(*wanted, "--json", "result.json", "--out", "out")
    assert code == 0
    result = json.loads((here / "result.json").read_text())
    assert result["incomplete"] and result["clips"] == 8
    assert "incomplete: 1 clips of the protocol missing" in text
    assert json.loads((here / "out" / "scores.json").read_text())["incomplete"]

    from mlflow.tracking import MlflowClient

    run = MlflowClient(tracking_uri=f"sqlite:///{here}/runs/mlflow.db").get_run(result["run_id"])
    assert run.data.tags["incomplete"] == "1 clips of the protocol missing"


@pytest.mark.slow
def test_a_face_that_is_not_found_is_named(call: Callable[..., tuple[int, str]], release: Path) -> None:
    code, text = call("--root", release, *SETTINGS, "--align", "landmarks")
    assert code == 4
    assert "no face in" in text and "--align none" in text


@pytest.mark.slow
def test_folds_that_fail_are_counted_in_the_exit_code(
    call: Callable[..., tuple[int, str]], whole: Path, here: Path
) -> None:
    hot = ["--rate", "99", "--weight-decay", "10", "--epochs", "60", "--tracking-uri", "none"]
    code, text = call("--root", whole, *SETTINGS, *hot)
    assert code == 3, text
    assert "no number" in text


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--k", "0"], 2, "--k 0"),
        (["--n", "25"], 2, "--n 25"),
        (["--n", "7"], 2, "prepared grid"),
        (["--k", "9"], 2, "--grid-factors 9"),
        (["--epochs", "0"], 2, "--epochs 0"),
        (["--gpus-per-worker", "0"], 2, "--gpus-per-worker 0"),
        (["--gpus-per-worker", "1.5"], 2, "--gpus-per-worker 1.5"),
        (["--subjects", "99"], 2, "--subjects 99"),
        (["--database", "casme9"], 2, "--database casme9"),
        (["--protocol", "casme2-5"], 2, "--protocol casme2-5"),
        (["--recipe", "best"], 2, "--recipe best"),
        (["--trunk", "missing.pth"], 2, "missing.pth"),
        (["--store", "ftp://x/y"], 2, "ftp://"),
        (["--tracking-uri", "ftp://x/y"], 2, "ftp://"),
        (["--tracking-uri", "folder"], 2, ".db"),
        (["--root", "missing"], 4, "--root missing"),
        (["--root", "."], 4, "CASME2-coding"),
    ],
)
def test_wrong_usage_is_one_sentence(
    call: Callable[..., tuple[int, str]], whole: Path, here: Path, arguments: list[str], code: int, said: str
) -> None:
    got = call("--root", whole, *SETTINGS[:-3], "--here", *arguments)
    assert got[0] == code, got[1]
    errors = [line for line in got[1].splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert said in errors[0] and "expected" in errors[0] and "fix:" in errors[0]
    assert not (here / "runs").exists()


def test_a_store_that_cannot_be_written_is_refused_before_any_work(
    call: Callable[..., tuple[int, str]], whole: Path, here: Path
) -> None:
    (here / "file").write_text("")
    code, text = call("--root", whole, *SETTINGS, "--store", here / "file" / "store")
    assert code == 2 and "cannot be used" in text


@pytest.mark.slow
def test_a_tracker_that_does_not_answer_costs_no_result(
    call: Callable[..., tuple[int, str]],
    whole: Path,
    store: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    silent = ["--tracking-uri", "http://127.0.0.1:9"]
    code, text = call("--root", whole, *SETTINGS, "--store", store, "--json", "result.json", *silent)
    assert code == 0 and "warning: not logged" in text
    result = json.loads((here / "result.json").read_text())
    assert result["run_id"] is None
    folder = Path(result["predictions"]).parent
    kept = json.loads((folder / "not_logged.json").read_text())
    assert kept["parent"]["name"] == f"loso {result['name']}" and "scores.json" in kept["parent"]["artifacts"]
    assert f"python -m cluster.tracking {folder} --tracking-uri http://127.0.0.1:9" in text


def test_an_interrupted_run_says_so_and_the_same_command_goes_on(
    ray_cluster: None, call: Callable[..., tuple[int, str]], whole: Path, here: Path
) -> None:
    # SIGTERM, as SLURM, `docker stop` and `ray job stop` send it; Ctrl-C raises the same, but a shell starts what runs
    # in the background with SIGINT ignored, and a process that this test starts inherits that.
    on_ray = [*TINY_OPTIONS, "--workers", "1"]
    command = [sys.executable, str(ROOT / "jobs" / "loso.py"), "--root", str(whole), *on_ray]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=here) as job:
        assert job.stdout is not None and job.stderr is not None
        seen = []
        for line in job.stdout:
            seen.append(line)
            if line.startswith("clip 3/"):
                os.kill(job.pid, signal.SIGTERM)
                break
        rest, errors = job.communicate(timeout=120)
    assert job.returncode == 130, (seen, rest, errors)
    assert errors.startswith("interrupted: ") and errors.count("\n") == 1
    code, _ = call("--root", whole, *SETTINGS, "--json", "result.json")
    result = json.loads((here / "result.json").read_text())
    assert code == 0 and 0 < result["computed_clips"] <= 6 and not result["incomplete"]


@pytest.mark.slow
def test_planning_holds_no_clip_in_memory(tmp_path: Path) -> None:
    from small import TINY

    from cluster.experiment.plan import Request, make_plan

    def peak(subjects: int) -> tuple[int, int]:
        root = small_database(tmp_path / str(subjects), subjects=subjects, clips_per_subject=4)
        for path in root.rglob("*.jpg"):
            path.write_bytes(path.read_bytes() + bytes(100_000))
        make_plan(Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path / "store")))
        tracemalloc.start()
        make_plan(Request(database="synthetic", root=root, recipe=TINY, store=str(tmp_path / "store")))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most, sum(path.stat().st_size for path in root.rglob("*.jpg"))

    few, small = peak(3)
    many, large = peak(24)
    assert many - few < 0.05 * (large - small)


def test_the_composite_of_three_databases_runs_end_to_end_on_s3_and_is_stamped_incomplete(
    s3_server: object, call: Callable[..., tuple[int, str]], here: Path
) -> None:
    small_database(here / "release" / "c2", subjects=2, clips_per_subject=3, release=False)
    small_samm(here / "release" / "samm", *(samm_row("006", f"006_1_{i}") for i in range(2)))
    small_smic(here / "release" / "smic", "s3/micro/positive/s3_po_01", "s3/micro/surprise/s3_sur_01")
    wanted = ["--database", "megc2019", "--root", "release", "--recipe", "quick", "--json", "result.json"]
    code, text = call(*wanted, *SETTINGS, "--store", "s3://aman/jobs", "--tracking-uri", "none")
    assert code == 0, text
    result = json.loads((here / "result.json").read_text())
    assert (result["protocol"], result["clips"], result["folds"]) == ("megc2019", 10, 4)
    assert not (here / "runs" / "store").exists()
    code, status = call("status", "--store", "s3://aman/jobs", job=cache)
    # The clips of SAMM are of the same bytes here, and so are those of SMIC: one result each.
    assert code == 0 and "features: 8 results" in status and "folds: 4 results" in status and "0 set aside" in status
    assert result["incomplete"] and "432 clips of the protocol missing" in text
    table = pd.read_csv(result["predictions"])
    assert set(table["subject"]) == {"casme2/01", "casme2/02", "samm/006", "smic/s3"}
    code, text = call("--protocol", "megc2019", Path(result["predictions"]).with_name("epochs.csv"), job=score)
    assert code == 0 and "incomplete" in text and "best of 3" in text


@pytest.mark.parametrize(
    ("database", "make"),
    [
        ("casme2", lambda root: small_database(root, 2, 3, release=False)),
        ("samm", lambda root: small_samm(root, samm_row(), samm_row("007", "007_1_1"))),
        ("smic", lambda root: small_smic(root, "s1/micro/negative/s1_ne_01", "s2/micro/surprise/s2_sur_01")),
    ],
)
def test_a_release_of_every_layout_is_planned(
    call: Callable[..., tuple[int, str]], here: Path, database: str, make: Callable[[Path], object]
) -> None:
    make(here / "release")
    wanted = ["--database", database, "--root", "release", "--recipe", "quick", "--align", "none", "--plan"]
    code, text = call(*wanted, "--magnifier", "linear")
    assert code == 0 and "2 to train" in text and "incomplete: " in text


def test_a_release_must_be_named(call: Callable[..., tuple[int, str]]) -> None:
    for job, options in ((loso, ["--database", "samm"]), (check_database, ["--database", "samm"])):
        code, text = call(*options, job=job)
        assert code == 2 and "--database samm without --root" in text


def test_synthesize_refuses_a_folder_that_holds_something_and_writes_nothing(
    call: Callable[..., tuple[int, str]], here: Path
) -> None:
    (here / "full").mkdir()
    (here / "full" / "thesis.txt").write_text("precious")
    code, text = call("--out", "full", job=synthesize)
    assert code == 2 and "not empty" in text
    assert [path.name for path in here.rglob("*")] == ["full", "thesis.txt"]
    assert call("--subjects", "1", job=synthesize)[0] == 2


@pytest.mark.slow
def test_synthesize_writes_a_release_that_loso_plans(call: Callable[..., tuple[int, str]], here: Path) -> None:
    code, text = call("--out", "db", "--subjects", "2", "--clips-per-subject", "1", job=synthesize)
    assert code == 0 and "wrote 2 clips" in text
    assert sorted(path.name for path in here.iterdir()) == ["db"]
    code, text = call("--root", "db", "--plan")
    assert code == 0 and "2 clips" in text
