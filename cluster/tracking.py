"""Runs in MLflow: one experiment a database, one run a configuration, logged by the driver alone, in batches."""

import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aman.errors import UsageError

KEY_TAG = "aman.key"
"""Tag with the content key of a run's results: logged twice is logged once."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """What MLflow is told of one configuration."""

    experiment: str
    name: str
    key: str
    parameters: Mapping[str, object]
    scores: Mapping[str, float]
    curves: Mapping[str, Sequence[float]]
    tags: Mapping[str, str]
    artifacts: Sequence[Path]
    dataset: str
    dataset_digest: str


USUAL = "sqlite:///runs/mlflow.db"
"""Where runs are logged when nothing is named."""


def sqlite_file(uri: str) -> Path | None:
    """The file of a `sqlite:///` URI (a plain path ending in .db is one), or None for a server."""
    if uri.startswith("sqlite:///"):
        return Path(uri.removeprefix("sqlite:///"))
    return Path(uri) if "://" not in uri else None


def tracking_uri(uri: str) -> str:
    """The URI as MLflow wants it; empty text means `$MLFLOW_TRACKING_URI`, or a file in `runs/`. `UsageError` for one
    that nothing can be logged to."""
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or USUAL
    file = sqlite_file(uri)
    if file is None:
        if not uri.startswith(("http://", "https://", "postgresql", "mysql")):
            raise UsageError(
                got=f"--tracking-uri {uri}",
                expected="sqlite:///FILE, a path of a .db file, or the http:// address of an MLflow server",
                fix=f"the default is {USUAL}",
            )
        return uri
    if file.is_dir() or file.suffix not in (".db", ".sqlite"):
        raise UsageError(
            got=f"--tracking-uri {uri}", expected="a file ending in .db", fix="MLflow's folder store is no more"
        )
    return f"sqlite:///{file}"


def log_runs(uri: str, parent: RunRecord, children: Sequence[RunRecord]) -> str:
    """Log a benchmark and its configurations, each under the parent; the parent's id."""
    parent_id = log_run(uri, parent)
    for child in children:
        log_run(uri, replace(child, tags={**child.tags, "mlflow.parentRunId": parent_id}))
    return parent_id


def log_run(uri: str, record: RunRecord) -> str:
    """Log the record, unless a finished run holds its key already; the run's id. Of a run under a parent the key counts
    under that parent."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import logging

    logging.getLogger("alembic").setLevel(logging.WARNING)
    from mlflow.entities import Dataset, DatasetInput, Metric, Param
    from mlflow.tracking import MlflowClient

    uri = tracking_uri(uri)
    with _alone(uri):
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        client = MlflowClient(tracking_uri=uri)
        experiment = _experiment(client, record.experiment, uri)
        search = f"tags.`{KEY_TAG}` = '{record.key}' and attributes.status = 'FINISHED'"
        if "mlflow.parentRunId" in record.tags:
            search += f" and tags.`mlflow.parentRunId` = '{record.tags['mlflow.parentRunId']}'"
        found = client.search_runs([experiment], filter_string=search, max_results=1)
        if found:
            return str(found[0].info.run_id)
        run = client.create_run(experiment, run_name=record.name, tags={**record.tags, KEY_TAG: record.key})
        run_id, now = str(run.info.run_id), run.info.start_time
        metrics = [Metric(name, value, now, 0) for name, value in record.scores.items()]
        for name, curve in record.curves.items():
            metrics += [Metric(name, value, now, step) for step, value in enumerate(curve)]
        params = [Param(name, str(value)) for name, value in record.parameters.items()]
        client.log_batch(run_id, metrics=metrics, params=params)
        dataset = Dataset(record.dataset, record.dataset_digest[:36], "local", "{}")
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, tags=[])])
        for path in record.artifacts:
            client.log_artifact(run_id, str(path))
        client.set_terminated(run_id)
        return run_id


def next_command(uri: str) -> str:
    """What a user types to look at the runs."""
    uri = tracking_uri(uri)
    return f"open {uri}" if uri.startswith("http") else f".venv/bin/mlflow ui --backend-store-uri {uri}"


def _experiment(client: object, name: str, uri: str) -> str:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    assert isinstance(client, MlflowClient)
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    file = sqlite_file(uri)
    artifacts = (file.absolute().parent / "mlartifacts").as_uri() if file is not None else None
    try:
        return str(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException:  # another driver was first
        known = client.get_experiment_by_name(name)
        if known is None:
            raise
        return str(known.experiment_id)


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One process at a time at a SQLite file: six that opened a fresh one all failed in its migrations."""
    file = sqlite_file(uri)
    if file is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(file.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
