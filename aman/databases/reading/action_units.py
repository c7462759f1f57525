"""Action units as the sheets write them: which units a cell names, whatever it says of side, strength or doubt."""

import re

from aman.databases.reading.sheet import number

UNIT = re.compile(r"(?<![0-9])([0-9]{1,2})(?![0-9])")


def action_units(cell: str) -> tuple[int, ...]:
    """The units that a cell names, ascending, each once.

    `4+7`, `L10`, `A14C` (asymmetric, strength C), `ref(4)`, `(R6 or R12)+R15`, `4A/B` and plain numbers (also `12.0`,
    as copies have them) are read; `?` and `soft focus` name none. Sides, strengths and alternatives are not kept.
    """
    plain = number(cell.strip())
    text = str(plain) if plain is not None else cell
    return tuple(sorted({int(unit) for unit in UNIT.findall(text)} - {0}))
