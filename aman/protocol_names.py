"""The protocol that a name stands for, and what papers print under it."""

from dataclasses import replace

from aman.databases import databases, find
from aman.databases.base import Protocol, Published, same
from aman.errors import UsageError


def protocols() -> dict[str, Protocol]:
    """The protocols of every database that comes with the project, by name."""
    return {protocol.name: protocol for database in databases().values() for protocol in database.protocols}


def protocol_named(name: str, database: str = "") -> Protocol:
    """The protocol of this name: of the database where one is named (a file's own, too), else of any that comes with
    the project. `UsageError` for a name that is unknown."""
    if database:
        return protocol_for(database, name)
    if name not in protocols():
        raise UsageError(
            got=f"protocol {name!r}", expected=f"one of {', '.join(protocols())}", fix="choose one of these"
        )
    return protocols()[name]


def published() -> dict[str, dict[str, Published]]:
    """What papers print: by method, then by protocol. Each number is kept once, in the file of its database."""
    found: dict[str, dict[str, Published]] = {}
    for name, protocol in protocols().items():
        for method, numbers in protocol.published.items():
            found.setdefault(method, {})[name] = numbers
    return found


def published_accuracy(protocol: str, method: str = "AMAN") -> float | None:
    """Accuracy in per cent that a paper prints for a method under a protocol, or None."""
    numbers = published().get(method, {}).get(protocol)
    return numbers.accuracy if numbers else None


def protocol_for(database: str, name: str = "") -> Protocol:
    """The protocol called `name`, or the database's default. A database of arrays takes the protocols of every
    database, and its labels may then be the protocol's classes, too. `UsageError` for a name that is unknown."""
    found = find(database)
    known = {protocol.name: protocol for protocol in found.protocols}
    if not name:
        return found.default_protocol
    if name in known:
        return known[name]
    if found.any_protocol and name in protocols():
        protocol = protocols()[name]
        classes = same(*protocol.classes)
        return replace(protocol, labels={one: {**classes, **labels} for one, labels in protocol.labels.items()})
    choices = [*known, *(protocols() if found.any_protocol else ())]
    raise UsageError(
        got=f"--protocol {name}",
        expected=f"one of {', '.join(dict.fromkeys(choices))} for {database}",
        fix="choose one of these",
    )
