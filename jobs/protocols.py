"""Which protocols there are: classes, clips, folds, what they leave out, their chance levels and the paper's number.

Laptop: `python jobs/protocols.py`, or `python jobs/protocols.py casme2-5 --root /data/CASMEII` for the fingerprint of a
release and for what guessing gets there when every fold shows its best epoch.

Time: some seconds.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from aman.databases import Database, find
from aman.errors import UsageError
from aman.protocols import Edition, Protocol, protocol_named, protocols
from jobs.command_line import DONE, SideBySideOptions, run_job, say
from jobs.help_texts import DATABASES_HELP

if TYPE_CHECKING:
    from aman.protocols import Selection

RELEASE_HELP = (
    "Folder of the release, or s3://bucket/folder, with one NAME: its fingerprint, and what guessing gets on it. Of"
    " several databases one folder that holds all, or one for each of --database in the same order."
)


@dataclass(frozen=True, kw_only=True)
class Options(SideBySideOptions):
    """Options of protocols."""

    names: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[NAME ...]")] = ()
    """Protocols to show (casme2-5 megc2019 casme2-5-kfold5-seed0 casme2+samm-cross ...). Empty: every one that leaves
    out subjects, or that a database itself divides."""
    database: Annotated[
        tuple[str, ...], tyro.conf.arg(help=f"Whose protocols. {DATABASES_HELP} Empty: every one.")
    ] = ()
    root: Annotated[tuple[str, ...], tyro.conf.arg(help=RELEASE_HELP)] = ()
    json: Path | None = None
    """File for what is shown, as JSON."""


def main(options: Options) -> int:
    """Show them one after the other."""
    from aman.tables import write_json

    named, root = options.one_database, options.release
    every = find(named).protocols if named else protocols().values()
    tables = options.split, options.labels
    if any(tables) and len(options.names) != 1:
        raise UsageError(
            got="--split or --labels without one NAME",
            expected="one protocol that they change",
            fix="name one protocol",
        )
    chosen = [protocol_named(name, named, *tables) for name in options.names] or list(every)
    if root and len(chosen) != 1:
        raise UsageError(got=f"--root for {len(chosen)} protocols", expected="--root with one NAME", fix="name one")
    shown = [_show(protocol, find(named or protocol.database)) for protocol in chosen]
    if root:
        from cluster.experiment.plan import select_at

        shown[0]["release"] = _show_release(select_at(root, chosen[0], named))
    if options.json:
        write_json(options.json, {"protocols": shown})
    return DONE


def _show(protocol: Protocol, database: Database) -> dict[str, Any]:
    say(f"{protocol.name} ({protocol.database}): {protocol.rule}")
    say(f"  {database.title}; under --root: {database.about}")
    if database.unverified:
        say(f"  unverified: {database.unverified}")
    if protocol.split.of_groups:
        say(f"  left out: {protocol.split.text}")
    editions = [_show_edition(protocol, edition) for edition in protocol.editions]
    if not editions:
        say("  no published size")
    for clip, why in protocol.excluded.items():
        say(f"  leaves out {clip}: {why}")
    for method, numbers in protocol.published.items():
        note = f"; {numbers.note}" if numbers.note else ""
        say(f"  published, in %: {method}: {numbers} ({numbers.source}{note})")
    return {
        "name": protocol.name,
        "database": protocol.database,
        "rule": protocol.rule,
        "unverified": database.unverified or None,
        "split": protocol.split.text,
        "classes": list(protocol.classes),
        "editions": editions,
        "excluded": dict(protocol.excluded),
        "published": {method: asdict(numbers) for method, numbers in protocol.published.items()},
    }


def _show_edition(protocol: Protocol, edition: Edition) -> dict[str, Any]:
    from aman.scoring import chances
    from aman.tables import percent, printed_text, reachable

    tested, folds = edition.tested or edition, protocol.split.count
    majority, prior = chances(tested.counts)
    counts = ", ".join(f"{name} {count}" for name, count in edition.counts.items())
    size = f"{edition.folds} folds"
    if protocol.split.of_groups:
        size = f"{edition.folds} subjects" + (f", {folds} {protocol.split.many}" if folds else "")
    say(f"  {edition.name}: {edition.clips} clips ({counts}), {size}")
    if edition.tested:
        counts = ", ".join(f"{name} {count}" for name, count in tested.counts.items())
        say(f"    predicted, {tested.name}: {tested.clips} clips ({counts}), {tested.folds} subjects")
    say(f"    chance, in %: {percent(majority)} (majority class), {percent(prior)} (class priors)")
    shown: dict[str, Any] = {
        "name": edition.name,
        "clips": edition.clips,
        "counts": dict(edition.counts),
        "folds": folds if protocol.split.of_groups else edition.folds,
        "subjects": edition.folds,
        "predicted": {"name": tested.name, "clips": tested.clips, "counts": dict(tested.counts)},
        "chance": {"majority": majority, "prior": prior},
        "paper": None,
    }
    ours = protocol.published.get("AMAN")
    if ours and ours.accuracy is not None:
        printed = f"{ours.accuracy:.2f}"
        say(f"    paper, in %: {printed_text(printed, edition.clips)}")
        shown["paper"] = {"accuracy_percent": float(printed), "clips_right": reachable(printed, edition.clips).count}
    return shown


def _show_release(selection: "Selection") -> dict[str, Any]:
    from aman.scoring import guessing_best_of
    from aman.tables import percent
    from cluster.experiment.texts import split_lines

    labels = [[selection.class_name(clip) for clip in selection.fold(one).test] for one in selection.groups]
    guessing = {epochs: guessing_best_of(labels, epochs) for epochs in (1, 50)}
    edition = f", {selection.edition.name}" if selection.edition else ""
    say(f"  release: {len(selection.clips)} clips, {len(labels)} folds{edition}, fingerprint {selection.fingerprint}")
    for line in split_lines(selection):
        say(f"    {line}")
    if selection.incomplete:
        say(f"    incomplete: {selection.shortfall}")
    for epochs, accuracy in guessing.items():
        say(f"    guessing by class priors, every fold's best of {epochs} epochs, in %: {percent(accuracy)}")
    return {
        "clips": len(selection.clips),
        "predicted_clips": len(selection.predicted),
        "folds": len(labels),
        "fingerprint": selection.fingerprint,
        "incomplete": selection.incomplete,
        "incomplete_why": selection.shortfall,
        "guessing_best_of": [{"epochs": epochs, "accuracy": accuracy} for epochs, accuracy in guessing.items()],
    }


if __name__ == "__main__":
    run_job(Options, main, __doc__)
