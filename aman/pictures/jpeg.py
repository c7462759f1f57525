"""The structure of a JPEG file: its size before anything is decoded, where it ends, and whether all scans are there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

END = b"\xff\xd9"
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers that give size and components."""
PROGRESSIVE = frozenset((0xC2, 0xC6, 0xCA, 0xCE))
ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
"""Markers without a length."""
NEXT = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""The marker behind the coded pixels of a scan, in which 0xFF is followed by 0 or by a restart marker."""
LEFT_OVER = re.compile(r"^Corrupt JPEG data: (\d+) extraneous bytes before marker 0xd9")
DAMAGE = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How libjpeg's warnings of lost pixels begin; its others are about headers that do no harm."""


@dataclass(kw_only=True)
class Jpeg:
    """What the markers say."""

    width: int = 0
    height: int = 0
    components: int = 0
    bits: int = 0
    progressive: bool = False
    end: int | None = None
    """Bytes up to and with the end marker, or None where there is none."""
    seen: set[tuple[int, int]] = field(default_factory=set)
    """Component and coefficient of every scan that brings the last bit."""

    @property
    def complete(self) -> bool:
        """Whether the scans bring every coefficient of every component."""
        return bool(self.components) and len(self.seen) >= 64 * self.components


def structure(content: bytes) -> Jpeg:
    """The markers of the file, in order; whatever follows the end marker is left alone. Raises `ValueError` for a
    marker whose length leads out of the file before the first scan, and for a file without a size or a scan."""
    found, at, scans = Jpeg(), 2, 0
    while (at := content.find(b"\xff", at)) >= 0:
        while content[at : at + 2] == b"\xff\xff":
            at += 1
        marker = content[at + 1] if at + 1 < len(content) else 0
        if marker == END[1]:
            found.end = at + 2
            break
        if marker in ALONE or marker == 0:
            at += 2
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        body = content[at + 4 : at + 2 + length]
        if length < 2 or len(body) < length - 2:
            break
        if marker in FRAMES and not found.components:
            if len(body) < 6:
                break
            found.bits, found.components, found.progressive = body[0], body[5], marker in PROGRESSIVE
            found.height, found.width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
        at += 2 + length
        if marker == 0xDA:
            scans += 1
            found.seen |= coefficients(body, found.progressive)
            following = NEXT.search(content, at)
            if following is None:
                break
            at = following.start()
    if not found.components or not scans:
        raise ValueError("no size or no scan")
    return found


def coefficients(body: bytes, progressive: bool) -> set[tuple[int, int]]:
    """Component and coefficient of all that a scan's header says to be whole after it."""
    count = body[0] if body else 0
    if len(body) < 2 * count + 4:
        return set()
    first, last, low = (
        (body[2 * count + 1], body[2 * count + 2], body[2 * count + 3] & 15) if progressive else (0, 63, 0)
    )
    return {(body[1 + 2 * c], k) for c in range(count) for k in range(first, last + 1)} if low == 0 else set()


def damage(lines: Sequence[str], content: bytes) -> str:
    """The warning of a decoder that pixels are lost, or empty text. Zeros before the end marker are padding."""
    for line in lines:
        left = LEFT_OVER.match(line)
        if left and not content[: -len(END)][-int(left.group(1)) :].strip(b"\0\xff"):
            continue
        if line.startswith(DAMAGE):
            return line
    return ""
