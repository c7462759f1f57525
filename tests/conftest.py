"""One Ray session for the whole run, locked as a job's own is."""

import gc
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.machines.session import lock
from cluster.machines.starting import collect_less

if TYPE_CHECKING:
    from seaweed import Server

OF_A_USER = ("RAY_ADDRESS", "AMAN_STORE", "AMAN_GPUS", "AMAN_LOCAL_CACHE", "AMAN_LOCAL_CACHE_GB", "MLFLOW_TRACKING_URI")
for name in OF_A_USER:
    os.environ.pop(name, None)
os.environ.update(
    {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "180",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # else the workers of the longest group wait for all other tests
        "OMP_NUM_THREADS": "1",
    }
)


lock()


def _unsynced(fd: Any) -> None:
    """In place of `os.fsync`, which waits for the disk: no test ends with a power cut."""


os.fsync = _unsynced

GROUPS = {
    "ray_cluster": "ray",
    "whole_releases": "releases",
    "small_trees": "releases",
}
"""Tests of several files that share what is dear to make, by its fixture: of the processes that run tests, one
makes it. All other tests of a file are a group, too."""
FIRST: Sequence[str] = """ray releases test_further_loso test_honest test_groups test_jobs test_paper test_predict
    test_tracker test_tracking test_further test_compare test_versions""".split()
"""Groups that take longest, over 15 seconds of computing, and are therefore begun first."""


SLOW = {"ray_cluster", "s3_server", "whole_releases", "mock", "obeying", "tracker", "package"}
"""Fixtures that start a server, a session or processes, or write a whole release: tests that use one are `slow`."""
SLOW_FILES = {
    "test_check_database",
    "test_compare",
    "test_console",
    "test_digests",
    "test_estimate",
    "test_further_fuzz",
    "test_intervals",
    "test_keep_weights",
    "test_lean_start",
    "test_lookalike",
    "test_notebook",
    "test_pretraining",
    "test_recorded_paper",
    "test_repairs",
    "test_reruns",
    "test_search",
    "test_search_proposals",
    "test_session",
    "test_store_faults",
    "test_synthesis",
    "test_tensors",
    "test_tracker",
    "test_tracking",
    "test_wheel",
}
"""Files whose tests run many jobs, make many faces, damage many files, or start sessions, servers and processes of
their own."""


ON_A_SERVER = ("s3", "near")
"""Kinds of stores, as the fixture `store` has them, that need a server."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not even import the files of which `make check` runs no test: they import Ray Tune and more."""
    return True if config.option.markexpr == "not slow" and collection_path.stem in SLOW_FILES else None


LONGEST_NAME = 60


def pytest_make_parametrize_id(val: object) -> str | None:
    """Cut the name of a test whose value is long: each process tells the others all names, several times a test."""
    if isinstance(val, str | bytes) and len(val) > LONGEST_NAME:
        return str(val[:LONGEST_NAME])
    return None


def _group_of(item: pytest.Item) -> str:
    if marked := item.get_closest_marker("xdist_group"):
        return str(marked.args[0])
    return next((GROUPS[name] for name in getattr(item, "fixturenames", ()) if name in GROUPS), item.path.stem)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep each group in one process, the longest first, and mark what `make check` leaves out."""
    groups = {}
    for item in items:
        groups[item] = group = _group_of(item)
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(group))
        on_a_server = getattr(getattr(item, "callspec", None), "params", {}).get("store") in ON_A_SERVER
        if SLOW & set(getattr(item, "fixturenames", ())) or item.path.stem in SLOW_FILES or on_a_server:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: FIRST.index(groups[item]) if groups[item] in FIRST else len(FIRST))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Python's garbage collector is off while the tests are imported, where it takes a fifth of the time. Afterwards it
    leaves out what was imported, and runs as seldom as in the project's programs."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        collect_less()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where groups are ignored: each process would start a Ray session and servers of its own."""
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    by_group = hasattr(session.config, "workerinput") and session.config.getvalue("loadgroup")
    if by_group and not all("@" in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist's groups have no effect with this version of pytest; see pyproject.toml")


@pytest.fixture(scope="session")
def ray_cluster(s3_server: "Server") -> Iterator[None]:
    """A session that jobs in this process join, as they would join a cluster; its workers reach the S3 server.

    Each start of Ray Train in it takes 15 s of computing: CONTRIBUTING.md counts them."""
    import ray

    from cluster.machines import lean

    with lean.lean_session():
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=80 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
        )
    with pytest.MonkeyPatch.context() as patch:
        # Of use where a controller dies and its cluster goes on: three seconds of computing for each run of Ray Train.
        patch.setattr(lean, "UNUSED", (*lean.UNUSED, *lean.FOR_CLUSTERS))
        yield
    ray.shutdown()


@pytest.fixture(scope="session")
def whole_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Look-alikes of whole releases in the folders `casme2`, `samm` and `smic`; tests change nothing there."""
    from aman.lookalike import write_lookalike
    from aman.releases import RELEASES

    root = tmp_path_factory.mktemp("whole")
    for layout in RELEASES:
        write_lookalike(root / layout, layout=layout)
    return root


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """A real S3 server with the bucket `aman`; boto3's variables lead to it."""
    from seaweed import running

    from cluster.store.s3 import client

    with running(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        patch.setenv("AMAN_LOCAL_CACHE", str(tmp_path_factory.mktemp("near")))
        client().create_bucket(Bucket="aman")
        yield server


@pytest.fixture
def requests(s3_server: "Server") -> Iterator[Callable[[], list[str]]]:
    """Says which requests this process made since it was last asked, `GetObject aman/folder/name`."""
    from cluster.store.s3 import _client

    made: list[str] = []

    def note(params: dict[str, str], model: Any, **_: object) -> None:
        made.append(f"{model.name} {params['Bucket']}/{params.get('Key', params.get('Prefix', ''))}")

    def since() -> list[str]:
        told = list(made)
        made.clear()
        return told

    events = _client(os.getpid()).meta.events
    events.register("before-parameter-build.s3", note)
    yield since
    events.unregister("before-parameter-build.s3", note)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of several threads differ in their last bits: a test that asks for more leaves one behind."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def empty_tracker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database of which MLflow has made the tables: a second of computing."""
    from mlflow.tracking import MlflowClient

    file = tmp_path_factory.mktemp("tracker") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def ready_tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new SQLite file of a tracker begins as a copy of an empty one, where MLflow would make the tables once more."""
    from cluster.tracking.client import TrackerClient

    begin = TrackerClient.__init__

    def with_tables(self: TrackerClient, uri: str, file: Path | None, *more: Any) -> None:
        if file is not None and not file.exists() and file.absolute().parent.is_dir():
            shutil.copyfile(request.getfixturevalue("empty_tracker"), file)
        begin(self, uri, file, *more)

    monkeypatch.setattr(TrackerClient, "__init__", with_tables)


@pytest.fixture
def drawn_figures() -> None:
    """For tests that look at figures: jobs draw them. Without it jobs build figures and write files of a pixel."""


def _sketch(figure: object, path: Path, beside: Sequence[str] = ()) -> list[Path]:
    from PIL import Image

    Image.new("L", (1, 1)).save(path, "PNG")
    for ending in beside:
        path.with_suffix(ending).write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return [path, *(path.with_suffix(ending) for ending in beside)]


@pytest.fixture
def call_job(
    request: pytest.FixtureRequest,
    here: Path,
    ready_tables: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str]]:
    """Run a job in this process, in an empty folder: its exit code and all that it printed. Figures are `_sketch`."""
    from jobs.command_line import run_job

    if "drawn_figures" not in request.fixturenames:
        monkeypatch.setattr("aman.figures._save", _sketch)

    def run(job: Any, *arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["job", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            run_job(job.Options, job.main, job.__doc__)
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return int(end.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run a job in: its defaults lie under `runs/` there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
