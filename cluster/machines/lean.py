"""Ray without the processes that nothing here uses: each of them computes for a second before the first fold."""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

SESSION: dict[str, Any] = {
    "include_log_monitor": False,  # nobody reads the workers' lines
    "no_monitor": True,  # it starts machines, and there is none to start
    # By default one fixed port. Where another session has it, each start of a session tries for 3.4 seconds to get it.
    "dashboard_agent_listen_port": 0,
}
"""What `ray start` has options for, and `ray.init` has not."""

UNUSED = ("DatasetsCallback",)
"""Parts of Ray Train that serve Ray Data, with a process of their own."""
FOR_CLUSTERS = ("PlacementGroupCleanerCallback",)
"""Parts that free what a run has reserved when its controller dies. A session on this machine alone ends with its
driver, and frees everything."""


@contextmanager
def lean_session() -> Iterator[None]:
    """Have `ray.init` start a session of this machine alone without monitors. A version of Ray that has other options
    starts what it starts by default."""
    parameter: Any = importlib.import_module("ray._private.parameter")
    usual = parameter.RayParams
    known = inspect.signature(usual).parameters
    parameter.RayParams = partial(usual, **{name: value for name, value in SESSION.items() if name in known})
    try:
        yield
    finally:
        parameter.RayParams = usual


def lean(trainer: type, *, ours: bool) -> Any:
    """The trainer class without its unused parts; where the session is `ours`, on this machine alone, without those for
    clusters either. They are known by the names of their classes: where Ray renames one, a run is slower, not
    wrong."""
    without = {*UNUSED, *(FOR_CLUSTERS if ours else ())}

    class Lean(trainer):
        def _create_default_callbacks(self) -> list[Any]:
            return [part for part in super()._create_default_callbacks() if type(part).__name__ not in without]

    return Lean


def starting_text(address: str) -> str:
    """The line before a session of `address` starts or is joined, which takes seconds of silence."""
    return f"{'starting Ray on this machine' if address == 'local' else f'joining Ray at {address}'} ..."
