"""Ray without the processes that nothing here uses: each of them computes for a second before the first fold."""

import importlib
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from cluster.machines import starting

SESSION: dict[str, Any] = {
    "include_log_monitor": False,  # nobody reads the workers' lines
    "no_monitor": True,  # it starts machines, and there is none to start
    # By default one fixed port. Where another session has it, each start of a session tries for 3.4 seconds to get it.
    "dashboard_agent_listen_port": 0,
    "setup_worker_path": starting.__file__,
}
"""What `ray.init` has no options for."""

UNUSED = ("DatasetsCallback",)
"""Parts of Ray Train that serve Ray Data, with a process of their own."""
FOR_CLUSTERS = ("PlacementGroupCleanerCallback", "FixedScalingPolicy")
"""A part that frees what a run has reserved when its controller dies, and one that tells an actor, started for that
alone, which machines a group of fixed size wants. A session on this machine alone ends with its driver, which frees
everything, and no machine can join it."""


@contextmanager
def lean_session() -> Iterator[None]:
    """Have `ray.init` start a session of this machine alone without monitors, and without the server behind the
    dashboard where there is to be no dashboard: Ray starts it all the same. A version of Ray that has other options
    starts what it starts by default."""
    parameter: Any = importlib.import_module("ray._private.parameter")
    services: Any = importlib.import_module("ray._private.services")
    usual, serve = parameter.RayParams, services.start_api_server
    known = inspect.signature(usual).parameters

    def serve_if_wanted(include_dashboard: bool | None, *others: Any, **named: Any) -> Any:
        if include_dashboard is False:
            return None, None  # the address and the process
        return serve(include_dashboard, *others, **named)

    parameter.RayParams = partial(usual, **{name: value for name, value in SESSION.items() if name in known})
    services.start_api_server = serve_if_wanted
    try:
        yield
    finally:
        parameter.RayParams, services.start_api_server = usual, serve


def lean(trainer: type, *, ours: bool) -> Any:
    """The trainer class without its unused parts; where the session is `ours`, on this machine alone, without those for
    clusters either. They are known by the names of their classes: where Ray renames one, a run is slower, not
    wrong."""
    without = {*UNUSED, *(FOR_CLUSTERS if ours else ())}

    class Lean(trainer):
        def _create_default_callbacks(self) -> list[Any]:
            return [part for part in super()._create_default_callbacks() if type(part).__name__ not in without]

        def _initialize_and_run_controller(self, **parts: Any) -> Any:
            policy = parts.get("scaling_policy")
            if type(policy).__name__ in without:
                parts["scaling_policy"] = asking_nobody(policy)
            return super()._initialize_and_run_controller(**parts)

    return Lean


def asking_nobody(policy: Any) -> Any:
    """The policy of a group of fixed size, without its requests for machines."""
    kind = type(policy)

    class AskingNobody(kind):
        def after_controller_start(self, train_run_context: Any) -> None:
            """Ray's own sends the first request here."""

        def _maybe_send_resource_request(self) -> None:
            """Ray's own sends it again here, every 20 seconds."""

    return AskingNobody(policy.scaling_config)


def starting_text(address: str) -> str:
    """The line before a session of `address` starts or is joined, which takes seconds of silence."""
    return f"{'starting Ray on this machine' if address == 'local' else f'joining Ray at {address}'} ..."
