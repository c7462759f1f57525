"""What MLflow costs: seconds to log a benchmark alone, and one with 200 configurations under it.

Laptop: `.venv/bin/python bench/tracking.py`. Time: about a minute on two cores. Nothing is trained: the records are
made up, with as many parameters, scores, points of a curve and artifacts as those of `jobs/loso.py`. The tracker is a
fresh SQLite file, and a fresh MLflow server on the loopback address that asks for a password. `again` is a second call,
which finds every run there.
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from jobs.command_line import DONE, run_job, say

PARAMETERS, SCORES, EPOCHS, ARTIFACT_BYTES = 25, 13, 50, 4000


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of the bench."""

    children: int = 200
    """Configurations under the benchmark."""


def main(options: Options) -> int:
    """Measure both trackers."""
    from seaweed import free_ports

    from cluster.machines.mlflow_server import Settings, credentials, running

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        measure("SQLite", f"sqlite:///{home}/mlflow.db", home, options.children)
        with running(Settings(folder=home / "tracker", port=free_ports(1)[0])) as settings:
            name, password = credentials(settings.folder)
            os.environ.update({"MLFLOW_TRACKING_USERNAME": name, "MLFLOW_TRACKING_PASSWORD": password})
            measure("server with a password", settings.uri, home, options.children)
    return DONE


def measure(what: str, uri: str, home: Path, children: int) -> None:
    """Log one run to warm up, one alone, one with the children, and that again; a line for the tracker."""
    from cluster.tracking.log import log_runs
    from cluster.tracking.record import RunRecord

    artifacts = [home / f"{name}.csv" for name in ("predictions", "epochs", "folds", "scores")]
    for path in artifacts:
        path.write_text("subject,right\n" + "01,1\n" * (ARTIFACT_BYTES // 5))

    def record(name: str, files: list[Path]) -> RunRecord:
        return RunRecord(
            experiment="bench",
            name=name,
            key=name,
            parameters={f"setting_{number}": number for number in range(PARAMETERS)},
            scores={f"pooled/{number}": number / SCORES for number in range(SCORES)},
            curves={"train/loss": [1 / (1 + epoch) for epoch in range(EPOCHS)]},
            tags={"job": "bench", "protocol": "bench"},
            artifacts=files,
            tables=[path for path in files if path.stem == "folds"],
            dataset="bench",
            dataset_digest="0" * 64,
        )

    def seconds(name: str, count: int) -> float:
        begun = perf_counter()
        log_runs(uri, record(name, artifacts), [record(f"{name} {one}", artifacts[:1]) for one in range(count)])
        return perf_counter() - begun

    first, one, many, again = seconds("a", 0), seconds("b", 0), seconds("c", children), seconds("c", children)
    say(
        f"{what}: the first run {first:.1f} s, another {one:.2f} s; with {children} beneath it {many:.1f} s,"
        f" {(many - one) / max(1, children) * 1000:.0f} ms each; again {again:.1f} s"
    )


if __name__ == "__main__":
    run_job(Options, main, __doc__)
