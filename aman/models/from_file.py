"""Methods whose network starts at random, or from a file of weights that cannot be shipped."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from aman.errors import UsageError
from aman.training import Neural

RANDOM = "random"
"""Weights of no file."""


class FromFile(Neural):
    """What these methods share. Their settings have `weights`: `random`, or the path of a file."""

    holds: ClassVar[str]
    """What the file holds, in words that follow `a file of`."""

    def check_weights(self, settings: Any) -> None:
        """`UsageError` for weights that are no file, or of another network; reads the file."""
        if settings.weights == RANDOM:
            return
        if not Path(settings.weights).is_file():
            raise UsageError(
                got=f"--weights {settings.weights}, which is no file",
                expected=f"`{RANDOM}`, or a file of {self.holds}",
                fix="check the path of --weights FILE",
            )
        self.weights(settings)

    def absolute(self, settings: Any) -> Any:
        weights = settings.weights if settings.weights == RANDOM else str(Path(settings.weights).absolute())
        return replace(super().absolute(settings), weights=weights)

    def starts_from(self, settings: Any) -> tuple[str, ...]:
        return () if settings.weights == RANDOM else (settings.weights,)

    def key_parts(self, settings: Any, weights: Mapping[str, str]) -> dict[str, object]:
        """The digest of the weights counts, and not their path."""
        parts = super().key_parts(replace(settings, weights=RANDOM), weights)
        return {**parts, "weights": dict(weights)} if self.starts_from(settings) else parts
