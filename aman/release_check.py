"""A table of predictions beside the release on disk: clips, labels, subjects and left-out groups."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aman.predictions import Predictions
from aman.protocols import Selection
from aman.scoring import fold_column


@dataclass(frozen=True, kw_only=True)
class ReleaseCheck:
    """A table of predictions against the release on disk."""

    fingerprint: str
    """The release's own."""
    missing: tuple[str, ...] = ()
    """Clips of the release that the table lacks."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """Clips of the table that do not count in the release, and why."""
    otherwise: Mapping[str, str] = field(default_factory=dict)
    """Clips with another label, subject or left-out group, and which."""
    shortfall: str = ""
    """How the release itself differs from the protocol."""

    @property
    def differences(self) -> list[str]:
        """All that differs, in words."""
        said = []
        if self.missing:
            said.append(f"{len(self.missing)} clips of the release missing ({_first(self.missing)})")
        if self.unknown:
            named = _first([f"{clip}: {why}" for clip, why in self.unknown.items()])
            said.append(f"{len(self.unknown)} clips that do not count in the release ({named})")
        if self.otherwise:
            named = _first([f"{clip}: {why}" for clip, why in self.otherwise.items()])
            said.append(
                f"{len(self.otherwise)} clips with another label or subject, or another group, in the release ({named})"
            )
        return [*said, f"the release on disk: {self.shortfall}"] if self.shortfall else said


def check_release(predictions: Predictions, selection: Selection) -> ReleaseCheck:
    """Compare the clips, labels, subjects and left-out groups of a table with those that a release has predicted."""
    of = selection.group_of
    there = {clip.clip_id: (selection.class_name(clip), clip.subject, of[clip.clip_id]) for clip in selection.predicted}
    table = predictions.table
    columns = [table[name] for name in ("label", "subject", fold_column(table))]
    given = dict(zip(table["clip"], zip(*columns, strict=True), strict=True))
    reasons = {str(p.clip_id): p.what for p in selection.unusable} | dict(selection.excluded)
    reasons |= {clip: "only learned from" for clip, group in of.items() if not group}
    unlike = {clip: (given[clip], there[clip]) for clip in sorted(given.keys() & there.keys())}
    return ReleaseCheck(
        fingerprint=selection.fingerprint,
        missing=tuple(sorted(there.keys() - given.keys())),
        unknown={clip: reasons.get(clip, "not there") for clip in sorted(given.keys() - there.keys())},
        otherwise={
            clip: " and ".join(
                dict.fromkeys(f"{one} in the table, {two} there" for one, two in zip(*pair, strict=True) if one != two)
            )
            for clip, pair in unlike.items()
            if pair[0] != pair[1]
        },
        shortfall=selection.shortfall,
    )


def _first(names: Iterable[str]) -> str:
    listed: Sequence[str] = list(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")
