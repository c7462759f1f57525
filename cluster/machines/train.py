"""Ray Train without the processes that nothing here uses: each of them loads Ray Train for itself, a second and a half
of computing before the first fold."""

from typing import Any

UNUSED = ("DatasetsCallback",)
"""Parts of Ray Train that serve Ray Data, with a process of their own."""
FOR_CLUSTERS = ("PlacementGroupCleanerCallback",)
"""Parts that free what a run has reserved when its controller dies. A session on this machine alone ends with its
driver, and frees everything."""


def lean(trainer: type, *, ours: bool) -> Any:
    """The trainer class without its unused parts; where the session is `ours`, on this machine alone, without those for
    clusters either. They are known by the names of their classes: where Ray renames one, a run is slower, not
    wrong."""
    without = {*UNUSED, *(FOR_CLUSTERS if ours else ())}

    class Lean(trainer):
        def _create_default_callbacks(self) -> list[Any]:
            return [part for part in super()._create_default_callbacks() if type(part).__name__ not in without]

    return Lean
