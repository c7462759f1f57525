"""Keyframes whose apex is found in the frames, whatever the release says: one rule a file.

`spotter` is the one place that knows the rules by their names.
"""

from aman.errors import UsageError
from aman.inputs.aligned import Aligned
from aman.inputs.keyframes import Keyframes

SHEET = "sheet"
"""The apex of the release, and the frame of the largest mean flow for a clip that has none."""
FOUND = ("flow", "lbp", "frequency", "middle")
"""The rules that look at no annotation."""


def spotter(rule: str, source: Aligned) -> Keyframes:
    """The keyframes of an aligned clip by a rule, `SHEET` or one of `FOUND`.

    `UsageError` for another name.
    """
    from aman.inputs.spotting.flow import FlowKeyframes
    from aman.inputs.spotting.frequency import SpottedKeyframes
    from aman.inputs.spotting.lbp import LbpKeyframes
    from aman.inputs.spotting.middle import MiddleKeyframes

    kinds = (Keyframes, FlowKeyframes, LbpKeyframes, SpottedKeyframes, MiddleKeyframes)
    rules: dict[str, type[Keyframes]] = dict(zip((SHEET, *FOUND), kinds, strict=True))
    if rule not in rules:
        raise UsageError(got=f"--apex {rule}", expected=f"one of {', '.join(rules)}", fix="choose one of these")
    return rules[rule](source=source)
