"""The small picture of the second half of an expression, from apex to offset."""

from dataclasses import dataclass, field
from typing import ClassVar

from aman.inputs.flow import Flow, SmallFlow


@dataclass(frozen=True, kw_only=True)
class LaterFlow(SmallFlow):
    """`SmallFlow` of the flow from apex to offset, under a name of its own: who brings arrays has one for each half."""

    name: ClassVar[str] = "flow-small-offset"

    source: Flow = field(default_factory=lambda: Flow(pair="apex-offset"))
