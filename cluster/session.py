"""The Ray session: a cluster that is there already, or this machine alone."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aman.errors import UsageError

SETTINGS = {
    "RAY_AUTH_MODE": "disabled",  # one user's session on the loopback address; a cluster sets `token` in its own file
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # the default of 2 s is added to the end of every run
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "60",
    "OMP_NUM_THREADS": "1",
}
"""Environment of the session where the user has set nothing else."""

LOOPBACK = "127.0.0.1"
"""Where a session on one machine listens, and nowhere else."""


@dataclass(frozen=True)
class Slots:
    """What the session can run at once."""

    cpus: int
    gpus: int
    joined: bool = False
    """Whether it was there before, with machines that may not see this one's files."""

    def workers(self, wanted: int = 0) -> int:
        """Training workers: `wanted`, or one a GPU, or one a CPU."""
        return wanted or self.gpus or self.cpus


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
        yield
    if raised:
        raise raised[0]


@contextmanager
def ray_session(workers: int = 0) -> Iterator[Slots]:
    """Join the cluster of `RAY_ADDRESS` (a submitted job has it), or start one here, on the loopback address.

    A session that is open already, in a test say, is used and left open.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import logging

    import ray

    mine, address = not ray.is_initialized(), ""
    if mine:
        address = os.environ.get("RAY_ADDRESS") or "local"
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if address == "local":
            quiet |= {"num_cpus": max(workers, os.cpu_count() or 1), "_node_ip_address": LOOPBACK}
        try:
            ray.init(address=address, **quiet)
        except Exception as error:  # Ray raises plain exceptions for whatever keeps it from starting
            why = (str(error).splitlines() or [type(error).__name__])[0]
            raise UsageError(
                got=f"a Ray session at {address!r} that does not start ({why})",
                expected="a machine with time and memory for one, or a cluster that answers at RAY_ADDRESS",
                fix="run the same command when the machine is less busy, or check RAY_ADDRESS",
            ) from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    try:
        total = ray.cluster_resources()
        yield Slots(cpus=int(total.get("CPU", 1)), gpus=int(total.get("GPU", 0)), joined=address != "local")
    finally:
        if mine:
            ray.shutdown()
