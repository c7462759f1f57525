"""The protocol that a name stands for, with the table of a user's own that changes it, and what papers print under it.

A name may end in a split of the clips: `casme2-5-kfold5-seed0` is `casme2-5` in five folds over subjects drawn with the
seed 0, `megc2019-cross` leaves out every database once, `megc2019-cross-to-smic` predicts SMIC from the others. The
split is in the name, and no option beside it, because a name goes wherever results go: into scores.json, MLflow, names
of folders, reports and jobs/score.py. `kfold5-seed0` and `cross` alone are the database's own protocol, divided so.
"""

import re
from dataclasses import replace
from pathlib import Path

from aman.databases import databases, find
from aman.databases.base import Database, Protocol, Published, same
from aman.databases.side_by_side import AND, SHARED
from aman.errors import UsageError
from aman.protocol_tables import read_classes, read_split
from aman.splits import Databases, Split, SubjectFolds

DIVIDED = re.compile(
    r"(?:(?P<base>.+)-)?"
    r"(?:kfold(?P<folds>[1-9][0-9]{0,5})-seed(?P<seed>0|[1-9][0-9]{0,8})|cross(?:-to-(?P<test>[\w.-]+))?)"
)
"""A name that ends in a split."""
HOW = "; NAME-kfold5-seed0 divides one into five folds over subjects, NAME-cross leaves out every database once"


def protocols() -> dict[str, Protocol]:
    """The protocols of every database that comes with the project, by name."""
    return {protocol.name: protocol for database in databases().values() for protocol in database.protocols}


def protocol_named(name: str, database: str = "", split: str = "", labels: str = "") -> Protocol:
    """The protocol of this name: of the database where one is named (a file's own, too), else of any that comes with
    the project, or of several side by side (`casme2+samm+smic-cross`), as `protocol_for` changes it. `UsageError` for a
    name that is unknown."""
    return _changed(_known(find(database) if database else None, name, database), split, labels)


def protocol_for(database: str, name: str = "", split: str = "", labels: str = "") -> Protocol:
    """The protocol called `name`, or the database's default. A database of arrays takes the protocols of every
    database, and its labels may then be the protocol's classes, too.

    `split` is a table of clips that are learned from and predicted, `labels` a table of the classes of labels
    (`aman.protocol_tables`). `UsageError` for a name that is unknown and for what cannot be put together, `DataError`
    for a table that is wrong.
    """
    found = find(database)
    return _changed(_known(found, name, database) if name else found.default_protocol, split, labels)


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


def _known(found: Database | None, name: str, given: str) -> Protocol:
    """The protocol of this name, of one database or, without one, of all."""
    own = {protocol.name: protocol for protocol in found.protocols} if found else protocols()
    if name in own:
        return own[name]
    if found and found.any_protocol and name in protocols():
        protocol = protocols()[name]
        classes = same(*protocol.classes)
        return replace(protocol, labels={one: {**classes, **labels} for one, labels in protocol.labels.items()})
    if match := DIVIDED.fullmatch(name):
        if match["base"]:
            return _divided(_known(found, match["base"], given), match)
        if found:
            return _divided(found.default_protocol, match)
    elif found is None and AND in name:
        return find(name).default_protocol
    choices = [*own, *(protocols() if found and found.any_protocol else ())]
    raise UsageError(
        got=f"--protocol {name}" if found else f"protocol {name!r}",
        expected=f"one of {', '.join(dict.fromkeys(choices))}{f' for {given}' if found else ''}",
        fix=f"choose one of these{HOW}",
    )


def _divided(base: Protocol, match: re.Match[str]) -> Protocol:
    """The protocol with the split that the end of a name says."""
    split: Split
    if match["folds"]:
        split = SubjectFolds(folds=int(match["folds"]), seed=int(match["seed"]))
        end = f"kfold{split.folds}-seed{split.seed}"
    else:
        split = Databases(test=match["test"] or "")
        end = f"cross-to-{split.test}" if split.test else "cross"
        there = ", ".join(sorted(base.labels))
        if len(base.labels) == 1 or (split.test and base.labels and split.test not in base.labels):
            raise UsageError(
                got=f"--protocol {base.name}-{end}, a protocol of {there}",
                expected="a protocol of two databases or more" + f", with {split.test} among them" * bool(split.test),
                fix="name the databases, as in --database casme2 samm smic --protocol cross",
            )
    _refuse_divided(base, f"--protocol {base.name}-{end}")
    return replace(base, name=f"{base.name}-{end}", split=split, published={}, rule=f"{base.rule}; {split.text}")


def _changed(protocol: Protocol, split: str, labels: str) -> Protocol:
    """The protocol with the classes and the split of a user's tables, where there are any."""
    if labels:
        protocol = _with_classes(protocol, Path(labels))
    if unknown := [name for name, mapped in protocol.labels.items() if not mapped and AND in protocol.database]:
        raise UsageError(
            got=f"--database {' '.join(protocol.database.split(AND))}, without a class for the labels of"
            f" {', '.join(unknown)}",
            expected=f"databases with a protocol of the classes {', '.join(SHARED)}",
            fix="name a table with the columns database,label,class as --labels",
        )
    if split:
        _refuse_divided(protocol, f"--split {split} with --protocol {protocol.name}")
        listed = read_split(Path(split))
        name = f"{protocol.name}-{_stem(Path(split))}-{listed.digest}"
        rule = f"{protocol.rule}; {listed.text}"
        protocol = replace(protocol, name=name, split=listed, published={}, rule=rule)
    return protocol


def _with_classes(protocol: Protocol, path: Path) -> Protocol:
    """The protocol with the classes of a user's table: every clip counts whose label the table names."""
    table = read_classes(path)
    mapped = table.labels
    if "" in mapped:
        if not protocol.labels:
            raise UsageError(
                got=f"--labels {path} without the column database",
                expected=f"that column, for the clips under {protocol.name} may be of any database",
                fix="add it",
            )
        mapped = dict.fromkeys(protocol.labels, mapped[""])
    elif protocol.labels and mapped.keys() != protocol.labels.keys():
        raise UsageError(
            got=f"--labels {path} with the databases {', '.join(sorted(mapped))}",
            expected=f"rows for {', '.join(sorted(protocol.labels))}, the databases of {protocol.name}",
            fix="add rows for each of them, and leave out all others",
        )
    return replace(
        protocol,
        name=f"{protocol.name}-{_stem(path)}-{table.digest}",
        classes=table.classes,
        labels=mapped,
        excluded={},
        editions=(),
        published={},
        rule=f"{protocol.rule}; the labels and classes of {path.name}",
    )


def _refuse_divided(protocol: Protocol, got: str) -> None:
    if protocol.split.of_groups:
        raise UsageError(
            got=f"{got}, which is divided already: {protocol.split.text}",
            expected="a protocol that leaves out every subject once",
            fix="leave one of the two splits out",
        )


def _stem(path: Path) -> str:
    """Name of a table as part of a protocol's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", path.stem).strip("-").lower() or "table"
