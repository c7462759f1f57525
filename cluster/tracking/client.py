"""How records of runs go to MLflow: few requests a run, some runs at a time, and an end to the waiting."""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from mlflow.entities import Dataset, Run
    from mlflow.tracking import MlflowClient

    from cluster.tracking.record import RunRecord

KEY_TAG = "aman.key"
"""Tag with the content key of a run's results: logged twice is logged once."""
PARENT_TAG = "mlflow.parentRunId"
NOTE_TAG, VIEW_TAG = "mlflow.note.content", "mlflow.sharedViewState.scores"

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # of one request; what failed as a whole is tried again by `unlogged`
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a server may ask for an hour
    "MLFLOW_ALLOW_HTTP_REDIRECTS": "false",  # a redirect would send the run and the password to another server
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # a line and a request for every run
}
"""Environment of MLflow's client where the user has set nothing else. Its own values wait minutes for a dead server."""
SCORE_COLUMNS = tuple(f"metrics.`pooled/{name}`" for name in ("uf1", "accuracy", "uar"))
TAG_COLUMNS = tuple(f"tags.`{name}`" for name in ("protocol", "job", "stamp"))
MOST_SETTINGS = 8
"""Columns of settings that a view has at most."""
AT_ONCE = 4
"""Runs that a server is told of at a time: hides the way to one that is far, and gains nothing on the same machine."""
RUNS_A_PAGE = 200


class Patience:
    """How long a tracker is waited for in all; every run that it takes earns it time for another."""

    def __init__(self, seconds: float = inf, a_run: float = 0.0) -> None:
        self.until, self.a_run = time.monotonic() + seconds, a_run

    def ends_in(self, seconds: float) -> bool:
        """Whether there is no time left in so many seconds."""
        return seconds > self.left

    @property
    def left(self) -> float:
        """Seconds until the end; negative after the end."""
        return self.until - time.monotonic()

    def earn(self) -> None:
        """A run was taken."""
        self.until += self.a_run


class TrackerClient:
    """An MLflow server or file, for as long as it is waited for."""

    def __init__(self, uri: str, file: Path | None, patience: Patience) -> None:
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow.tracking import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        # MLflow keeps connections by URI: a relative one would lead to the file of a folder that the process was in.
        self.uri = uri if file is None else f"sqlite:///{file.absolute()}"
        self.file, self.patience = file, patience
        self.at_once = AT_ONCE if self.file is None else 1
        self.experiments: dict[str, str] = {}
        with self._alone():
            self._client = MlflowClient(tracking_uri=self.uri)

    @property
    def client(self) -> "MlflowClient":
        """The client of the next request. `TimeoutError` where there is no time for one."""
        self._hold()
        return self._client

    def _hold(self) -> None:
        if self.patience.ends_in(0):
            raise TimeoutError("it answers too slowly")

    def known(self, experiment: str, parent: str | None, key: str | None = None) -> "dict[str, Run]":
        """Runs under that parent, or under none, by key; of two with one key the finished one."""
        search = f"tags.`{PARENT_TAG}` = '{parent}'" if parent else f"tags.`{KEY_TAG}` = '{key}'"
        found, token = dict[str, "Run"](), None
        with self._alone():
            while True:
                page = self.client.search_runs(
                    [self._experiment(experiment)], filter_string=search, max_results=RUNS_A_PAGE, page_token=token
                )
                for run in page:
                    tags = run.data.tags
                    if tags.get(PARENT_TAG) == parent and (tags.get(KEY_TAG) not in found or _finished(run)):
                        found[tags.get(KEY_TAG, "")] = run
                token = page.token
                if not token:
                    return found

    def log(self, record: "RunRecord", parent: str | None, run: "Run | None") -> str:
        """Log a record, or what is not logged of it; the run's id."""
        from mlflow.entities import DatasetInput, Metric, Param, RunTag
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        if run is not None and _finished(run):
            return str(run.info.run_id)
        tags = {**record.tags, KEY_TAG: record.key, **({PARENT_TAG: parent} if parent else {})}
        if record.note:
            tags[NOTE_TAG] = record.note
        if record.tables:
            shown = [{"path": f"{path.stem}.json", "type": "table"} for path in record.tables]
            tags["mlflow.loggedArtifacts"] = json.dumps(shown)
        with self._alone():
            if run is None:
                experiment = self._experiment(record.experiment)
                began = record.began if record.began is not None else time.time()
                run = self.client.create_run(experiment, round(1000 * began), tags, record.name)
                tags = {}
            run_id, then = str(run.info.run_id), run.info.start_time
            curves = record.curves.items()  # before the single numbers: the UI has its charts in this order
            metrics = [Metric(name, value, then, step) for name, curve in curves for step, value in enumerate(curve)]
            metrics += [Metric(name, value, then, 0) for name, value in record.scores.items()]
            old = run.data.params  # of an unfinished run: MLflow lets nobody change them
            params = [Param(name, str(value)) for name, value in record.parameters.items() if name not in old]
            self.client.log_batch(run_id, metrics, params, [RunTag(name, value) for name, value in tags.items()])
            self.client.log_inputs(run_id, datasets=[DatasetInput(_dataset(record), tags=[])])
            check_address(str(run.info.artifact_uri), self.uri)
            # The client's own would ask anew for every run where its files go.
            files = get_artifact_repository(str(run.info.artifact_uri), tracking_uri=self.uri)
            with TemporaryDirectory() as scratch:
                for path in [*record.artifacts, *(_table(path, Path(scratch)) for path in record.tables)]:
                    self._hold()
                    files.log_artifact(str(path))
            ended = None if record.ended is None else max(then, round(1000 * record.ended))
            self.client.set_terminated(run_id, end_time=ended)
            self.patience.earn()
        return run_id

    def show_differences(self, experiment: str) -> None:
        """Make the columns of the experiment's view `scores` those settings in which its newest runs differ."""
        from mlflow.entities import ViewType

        with self._alone():
            number = self._experiment(experiment)
            found = self.client.search_runs([number], "", ViewType.ACTIVE_ONLY, RUNS_A_PAGE)
            view = view_of([run.data.params for run in found])
            if self.client.get_experiment(number).tags.get(VIEW_TAG) != view:
                self.client.set_experiment_tag(number, VIEW_TAG, view)

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        if name not in self.experiments:
            known = self.client.get_experiment_by_name(name)
            if known is None:
                tags = {"mlflow.experimentKind": "custom_model_development", VIEW_TAG: view_of([])}
                artifacts = (self.file.absolute().parent / "mlartifacts").as_uri() if self.file is not None else None
                try:
                    self.experiments[name] = str(self.client.create_experiment(name, artifacts, tags))
                    return self.experiments[name]
                except MlflowException:  # another driver was first
                    known = self.client.get_experiment_by_name(name)
                    if known is None:
                        raise
            self.experiments[name] = str(known.experiment_id)
        return self.experiments[name]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One process at a time at a SQLite file: six that opened a fresh one all failed in its migrations."""
        if self.file is None:
            yield
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock = FileLock(f"{self.file}.lock").acquire(timeout=max(0.0, self.patience.left), poll_interval=0.05)
        except Timeout:
            raise TimeoutError(f"another job writes to {self.file}") from None
        with lock:
            yield


def view_of(settings: Sequence[Mapping[str, str]]) -> str:
    """The tag of an experiment by which the UI shows, at `.../runs?viewStateShareKey=scores`, the best run first, with
    its scores and those `settings` in which two runs of one method differ. The UI shows neither scores nor settings
    unless each user selects them, or is sent there."""
    from aman.runs import differing  # pandas, which a process that tells a server of a run waits for once, with MLflow

    methods = [one.get("method", "") for one in settings]
    shown = [*(["method"] if len(set(methods)) > 1 else []), *differing(settings, methods)][:MOST_SETTINGS]
    columns = [*SCORE_COLUMNS, *(f"params.`{name}`" for name in shown), *TAG_COLUMNS]
    return json.dumps({"orderByKey": SCORE_COLUMNS[0], "orderByAsc": False, "selectedColumns": columns})


def check_address(artifacts: str, tracker: str) -> None:
    """`OSError` where a server wants files sent to another server: the password would go there with them."""
    there, here = urlsplit(artifacts), urlsplit(tracker)
    elsewhere = (there.hostname, there.port) != (here.hostname, here.port)
    if there.scheme.startswith(("http", "mlflow-artifacts")) and there.netloc and elsewhere:
        raise OSError(f"it sends files to another server, {there.hostname}")


def _finished(run: "Run") -> bool:
    return run.info.status == "FINISHED"


def _dataset(record: "RunRecord") -> "Dataset":
    """The database as the UI shows one: rows and columns, and where it comes from."""
    from mlflow.entities import Dataset

    columns = [{"name": name, "type": kind, "required": True} for name, kind in record.dataset_columns.items()]
    return Dataset(
        record.dataset,
        record.dataset_digest[:36],  # MLflow's limit
        source_type="local",
        source=json.dumps({"database": record.dataset, "fingerprint": record.dataset_digest}),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps(record.dataset_profile),
    )


def _table(path: Path, folder: Path) -> Path:
    """A CSV file as MLflow keeps tables."""
    from aman.sheets.own import read_csv

    table = folder / f"{path.stem}.json"
    read_csv(path).to_json(table, orient="split", index=False)
    return table
