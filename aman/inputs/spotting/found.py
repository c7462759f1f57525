"""What all spotters of an apex have in common: keyframes in which the apex of the release does not count."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from aman.content import content_key
from aman.inputs.aligned import AlignedClip
from aman.inputs.base import ClipFacts, Input
from aman.inputs.keyframes import Keyframes


@dataclass(frozen=True, kw_only=True)
class FoundKeyframes(Keyframes):
    """What `Keyframes` has, with an apex that `spot` finds. A subclass has its own `name` and one text in `rules`."""

    rules: ClassVar[tuple[str, ...]] = ()

    def key(self, source_key: str, facts: ClipFacts) -> str:
        # The annotated apex does not enter.
        return content_key({"stage": Input.key(self, source_key, facts), **facts.gaps})

    def make(self, source: AlignedClip) -> dict[str, npt.NDArray[Any]]:
        (rule,) = self.rules
        made = super().make(replace(source, apex=source.onset + self.spot(source)))
        return {**made, "rule": np.frombuffer(rule.encode(), dtype=np.uint8)}

    def spot(self, source: AlignedClip) -> int:
        """Position of the apex in the clip, 0 for the onset."""
        raise TypeError(f"{type(self).__name__} spots nothing")
