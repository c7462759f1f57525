"""Several databases as one, for protocols across databases: `--database casme2 samm smic`.

Clips and subjects keep the name of their own database in front, so that no two of them meet. The classes are those that
all databases share, negative, positive and surprise; which label is which class is said by each database's own protocol
of these classes or, where it has none, by that of a composite.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from aman.databases.base import Database, Protocol, same
from aman.databases.index import Index
from aman.errors import DataError, UsageError

AND = "+"
"""What stands between the names of databases side by side: `casme2+samm+smic`."""
SHARED = ("negative", "positive", "surprise")
"""The classes that protocols across databases share."""


def side_by_side(parts: Sequence[Database], known: Iterable[Database]) -> Database:
    """These databases as one. Its only protocol leaves out every subject of all of them once; `known` are the databases
    whose protocols say which label is which class. The name does not depend on the order. `UsageError` where a database
    is named twice, or only one."""
    names = [part.name for part in parts]
    if len(set(names)) < len(names) or len(names) < 2:
        raise UsageError(
            got=f"--database {AND.join(names)}", expected="two databases or more, each once", fix="name each once"
        )
    labels: dict[str, Mapping[str, str]] = {}
    excluded: dict[str, str] = {}
    for part in parts:
        mapped, without = _classes_of(part, [protocol for one in known for protocol in one.protocols])
        labels |= mapped
        excluded |= without
    name = AND.join(sorted(names))

    def read(root: Path) -> Index:
        return merged(name, [(part, part.index(root)) for part in parts])

    return Database(
        name=name,
        title=", ".join(part.title for part in parts),
        about="; ".join(f"{part.name}: {part.about}" for part in parts),
        read=read,
        parts=tuple(parts),
        protocols=(
            Protocol(
                name=name,
                database=name,
                classes=SHARED,
                labels=labels,
                excluded=excluded,
                rule=f"{', '.join(sorted(names))} together, in the classes {', '.join(SHARED)}",
            ),
        ),
    )


def merged(name: str, indexes: Sequence[tuple[Database, Index]]) -> Index:
    """The indexes of several databases as one. `DataError` where two of them hold a clip of one id."""
    owners: dict[str, str] = {}
    for part, index in indexes:
        for clip in index:
            if (other := owners.setdefault(clip.clip_id, part.name)) != part.name:
                raise DataError(
                    got=f"clip {clip.clip_id} in {other} and in {part.name}",
                    expected="databases that share no clip",
                    fix=f"leave out {other} or {part.name}",
                )
    clips = sorted((clip for _, index in indexes for clip in index), key=lambda clip: clip.clip_id)
    return Index(
        database=name,
        clips=tuple(clips),
        problems=tuple(problem for _, index in indexes for problem in index.problems),
        remarks=tuple(remark for _, index in indexes for remark in index.remarks),
    )


def _classes_of(part: Database, known: Sequence[Protocol]) -> tuple[dict[str, Mapping[str, str]], dict[str, str]]:
    """Class by label of each database that the clips of `part` are of, and the clips that do not count with the reason.
    No class where nobody says which label is which."""
    for protocol in part.protocols:
        if set(protocol.classes) == set(SHARED):
            return dict(protocol.labels), dict(protocol.excluded)
        if not protocol.classes:  # the classes are the labels of the data
            return {part.name: same(*SHARED)}, {}
    for protocol in known:
        if set(protocol.classes) == set(SHARED) and part.name in protocol.labels:
            mine = {clip: why for clip, why in protocol.excluded.items() if clip.startswith(f"{part.name}/")}
            return {part.name: protocol.labels[part.name]}, mine
    return {part.name: {}}, {}
