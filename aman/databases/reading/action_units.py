"""Action units as the sheets write them: which units a cell names, whatever it says of side, strength or doubt; and
the objective class, which follows from the units alone (Davison et al., 2018)."""

import re

from aman.databases.reading.sheet import number

UNIT = re.compile(r"(?<![0-9])([0-9]{1,2})(?![0-9])")
OBJECTIVE = ("I", "II", "III", "IV", "V", "VI", "VII")
OBJECTIVE_COLUMNS = ("Objective Classes", "Objective Class")
"""How sheets call their column."""


def action_units(cell: str) -> tuple[int, ...]:
    """The units that a cell names, ascending, each once.

    `4+7`, `L10`, `A14C` (asymmetric, strength C), `ref(4)`, `(R6 or R12)+R15`, `4A/B` and plain numbers (also `12.0`,
    as copies have them) are read; `?` and `soft focus` name none. Sides, strengths and alternatives are not kept.
    """
    plain = number(cell.strip())
    text = str(plain) if plain is not None else cell
    return tuple(sorted({int(unit) for unit in UNIT.findall(text)} - {0}))


def objective_class(cell: str) -> str:
    """`I` to `VII`, of a Roman or an Arabic number; empty text for anything else."""
    plain = number(cell.strip())
    if plain is not None:
        return OBJECTIVE[plain - 1] if 1 <= plain <= len(OBJECTIVE) else ""
    return cell.strip().upper() if cell.strip().upper() in OBJECTIVE else ""
