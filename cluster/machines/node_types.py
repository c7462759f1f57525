"""Which node type an AWS cluster launches: spot while there are spot nodes to be had, then on-demand.

Ray's own order looks at resources alone, so of two types alike it would ask for the same one for ever. Its autoscaler
finds `score` by the variable RAY_AUTOSCALER_UTILIZATION_SCORER.
"""

from typing import Any

SPOT = "_spot"
"""How the names of spot types end in the cluster file."""


def score(
    node_resources: dict[str, Any],
    resources: list[dict[str, Any]],
    node_type: str,
    *,
    node_availability_summary: Any,
) -> tuple[Any, ...] | None:
    """Ray's score of a node type for the demand `resources`, the largest is launched; None where nothing fits.

    After no GPU node for work without GPUs, which comes first as it does with Ray, a type that AWS refused within the
    last half hour comes last; among types of the same use, spot comes first.
    """
    from ray.autoscaler._private.resource_demand_scheduler import _resource_based_utilization_scorer

    usual = _resource_based_utilization_scorer(
        node_resources, resources, node_availability_summary=node_availability_summary
    )
    if usual is None:
        return None
    known = node_availability_summary.node_availabilities.get(node_type)
    return usual[0], known is None or known.is_available, *usual[1:], node_type.endswith(SPOT)
