"""The Ray session: a cluster that is there already, or this machine alone."""

import json
import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aman.errors import UsageError
from cluster.machines.cpus import usable_cpus
from cluster.machines.lean import lean_session
from cluster.machines.own_folder import RAYS, own_folder, remove_folder
from cluster.machines.watch import Watch, kill_all_below, session_lost, without_errors_of_libraries
from cluster.store.local_copies import FOLDER as LOCAL_COPIES
from cluster.store.local_copies import near_folder

GROUP_START_SECONDS = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new one prints boxes and folders that are gone by the time they are read
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the default of 2 s is added to the end of every run
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # an actor of its own; a lost worker's folds are leased again anyhow
    "RAY_TRAIN_METRICS_ENABLED": "0",
    GROUP_START_SECONDS: "60",
    "OMP_NUM_THREADS": "1",
}
"""Environment of the session where the user has set nothing else."""

LOCKED = {
    "RAY_AUTH_MODE": "token",
    "RAY_enable_metrics_collection": "0",  # pages that ask nobody for the token; a port below 0 cannot be opened
    "DASHBOARD_METRIC_PORT": "-1",
    "AUTOSCALER_METRIC_PORT": "-1",
}
"""The same for a session that is started here. Ray listens on every address of the machine, whatever it is told."""
TOKEN = "RAY_AUTH_TOKEN"


SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Variable in which a submitted job finds what it was submitted with."""
SLURM_NODES = "SLURM_JOB_NUM_NODES"
"""Variable in which SLURM says how many nodes a job has."""
HEAD = "head"
"""Resource of the machine that the driver is on, where nothing is trained unless it is the only one."""
DASHBOARD = "AMAN_DASHBOARD"
"""Variable that gives a session on this machine alone Ray's dashboard where it is `1`: on the loopback address, for who
has the token (`RAY_AUTH_TOKEN`)."""
PROMISED_GPUS = "AMAN_GPUS"
"""Variable of a cluster that grows on demand: how many GPUs it may come to have. Work is then given out for them."""
IN_FLIGHT_PER_CPU = 2
"""Clips handed out for each CPU: enough to keep workers busy, few enough to bound memory."""
IN_FLIGHT_TO_GROW = 32
"""Clips handed out at least where nodes may join: a cluster grows with what waits for it."""


@dataclass(frozen=True)
class Slots:
    """What the session can run at once, there now or promised."""

    cpus: int
    gpus: int
    ours: bool = True
    """Whether the session is this process's own, on this machine alone: nothing will join."""

    def workers(self, wanted: int = 0, share: float = 1) -> int:
        """Training workers: `wanted`, or what the GPUs hold if each takes a share, or one a CPU."""
        return wanted or int(self.gpus / share) or self.cpus or 1

    @property
    def in_flight(self) -> int:
        """Clips to hand out at a time."""
        return max(IN_FLIGHT_PER_CPU * self.cpus, 1 if self.ours else IN_FLIGHT_TO_GROW)


SECONDS_TO_START = 3.0
"""How long a session may go on starting that is not wanted any more."""

_ours = False
"""Whether `ray_session` of this process started the session on this machine alone."""


def capacity() -> Slots:
    """What the session has at this moment: nodes join and go."""
    import ray

    total = ray.cluster_resources()
    keep_signals()
    gpus = max(int(total.get("GPU", 0)), int(os.environ.get(PROMISED_GPUS) or 0))
    return Slots(cpus=int(total.get("CPU", 0)), gpus=gpus, ours=_ours)


def fitting(fit: Callable[[], object], pause: float = 0.3) -> Iterator[None]:
    """Run Ray Train's `fit` beside the main thread: yields every `pause` seconds and once more at the end, then raises
    what it raised. In the main thread Ray Train takes over the interrupt and ends the process with code 1."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            fit()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    going = True
    while going:
        thread.join(pause)
        going = thread.is_alive()
        keep_signals()
        yield
    if raised:
        raise raised[0]


def keep_signals() -> None:
    """Set the handler of SIGTERM that Python has been given. Ray's libraries set one of their own, below Python's, each
    time that they connect to something; it aborts the process with a page of addresses."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))


def lock() -> None:
    """Have a session that this process starts ask for a token, unless the environment says otherwise. To be called
    before Ray is imported: it looks at its environment then."""
    for name, value in LOCKED.items():
        os.environ.setdefault(name, value)
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        os.environ.setdefault(TOKEN, secrets.token_hex(32))


def set_environment() -> str:
    """Set what a session reads of its environment, and return its address. To be called before Ray is imported."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    if address == "local":
        os.environ.setdefault(GROUP_START_SECONDS, "180")  # no host can be lost, but a busy laptop is slow
        lock()
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return address


def refuse_lonely_node() -> None:
    """`UsageError` in a SLURM job of several nodes: a session of this machine alone would leave the others idle, or
    each of them would run a copy of the job."""
    nodes = os.environ.get(SLURM_NODES, "")
    if nodes.isdecimal() and int(nodes) > 1:
        raise UsageError(
            got=f"a SLURM job of {nodes} nodes without RAY_ADDRESS, which would compute on one of them",
            expected="a Ray session over all nodes of the job",
            fix="submit the command with slurm.sbatch (docs/cluster.md), or ask for one node: sbatch --nodes=1",
        )


@contextmanager
def _environment(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Set these variables of this process meanwhile; None takes one away."""
    before = {name: os.environ.get(name) for name in changes}

    def put(values: Mapping[str, str | None]) -> None:
        for name, value in values.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    put(changes)
    try:
        yield
    finally:
        put(before)


def _without_mlflow() -> dict[str, str | None]:
    """Changes that keep every variable of MLflow's from what workers inherit: of this process's environment, with which
    a session of its own starts, and of the runtime environment of a submitted job. A worker logs nothing; its
    `MLFLOW_RUN_ID` would be another run's, and the tracker's password is none of its business."""
    changes: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("MLFLOW_"))
    job = os.environ.get(SUBMITTED)
    if job is not None:
        config = json.loads(job)
        variables = config.get("runtime_env", {}).get("env_vars", {})
        for name in [name for name in variables if name.startswith("MLFLOW_")]:
            del variables[name]
        changes[SUBMITTED] = json.dumps(config)
    return changes


def _scratch_in(folder: Path | None) -> dict[str, str | None]:
    """Changes that have the processes of a session make their temporary files in this folder; copies of what the store
    holds stay where they are."""
    return {} if folder is None else {"TMPDIR": str(folder), LOCAL_COPIES: str(near_folder().folder)}


def _start(**how: Any) -> None:
    """`ray.init` beside the main thread: an interrupt in the middle of it would abort the process."""
    import ray

    raised: list[BaseException] = []
    ready = threading.Event()

    def start() -> None:
        try:
            ray.init(**how)
            ray.cluster_resources()  # connects to what all later calls ask
        except BaseException as error:
            raised.append(error)
        ready.set()
        threading.Event().wait()  # Ray's processes end with the thread that started them

    threading.Thread(target=start, daemon=True).start()
    try:
        while not ready.wait(0.02):
            keep_signals()
    except KeyboardInterrupt:
        if not ready.wait(SECONDS_TO_START):
            kill_all_below()
        raise
    keep_signals()
    if raised:
        raise raised[0]


@contextmanager
def ray_session(workers: int = 0) -> Iterator[Slots]:
    """Join the cluster of `RAY_ADDRESS` (a submitted job has it), or start a session here.

    A session that starts here answers only to who has its token. The token is new for each session and is kept in the
    environment of this process. The session's files are in a folder that no other user may enter, and are removed with
    the session.

    A session that is open already, in a test say, is used and left open. `UsageError` in a SLURM job of several nodes
    without an address. `SessionLostError` where the session breaks:
    a process of Ray's that all others need was killed, or the head of the cluster is gone.
    """
    address = set_environment()
    import logging

    import ray.exceptions

    if ray.is_initialized():
        yield capacity()
        return
    if address == "local":
        refuse_lonely_node()
    global _ours
    with ExitStack() as stack:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        folder = stack.enter_context(own_folder()) if address == "local" else None
        if folder is not None:
            quiet["_temp_dir"] = str(folder / RAYS)
            quiet["num_cpus"] = max(workers, usable_cpus())
            quiet["include_dashboard"] = os.environ.get(DASHBOARD) == "1"  # eleven processes, seldom looked at here
            # What only waits takes of this: a hundredth of a CPU would leave no room for the last training worker.
            quiet["resources"] = {HEAD: 1000}
        watch = Watch(partial(remove_folder, folder))
        stack.callback(_end, watch)
        inherited = {**_without_mlflow(), **_scratch_in(folder)}
        try:
            with _environment(inherited), lean_session() if folder else nullcontext():
                _start(address=address, **quiet)
        except Exception as error:  # Ray raises plain exceptions for whatever keeps it from starting
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                got=f"a Ray session at {address!r} that does not start ({why})",
                expected="a machine with time and memory for one, or a cluster that answers at RAY_ADDRESS",
                fix="run the same command when the machine is less busy, or check RAY_ADDRESS",
            ) from None
        logging.getLogger("ray").setLevel(logging.ERROR)
        _ours = folder is not None
        if folder is not None:
            stack.enter_context(watch)
        try:
            yield capacity()
        except ray.exceptions.RayTaskError:
            raise
        except ray.exceptions.RayError as error:
            raise session_lost(type(error).__name__) from error


def _end(watch: Watch) -> None:
    """End the session; a lost one answers no request."""
    import ray

    global _ours
    _ours = False
    if watch.lost is None:
        with without_errors_of_libraries():
            ray.shutdown()
        keep_signals()
    else:
        kill_all_below()
