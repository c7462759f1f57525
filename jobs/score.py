"""Score a table of predictions, of this project or of any other, in all the ways that papers do, each by its name.

Laptop: `python jobs/score.py predictions.csv --protocol casme2-5`. The file is CSV with the columns `clip`, `subject`,
`label`, `prediction` and, where every epoch was kept, `epoch`: the last one counts, and the best on the test clips is
shown for what it is. `--against OTHER.csv` compares two tables of the same clips.

Time: some seconds. The paper has 75.40 % on CASME II (Table 2), which is no whole number of 246 or 249 clips.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from aman.errors import DataError, UsageError
from aman.protocols import protocol_named, protocols
from jobs.command_line import DONE, SideBySideOptions, run_job, say
from jobs.help_texts import DATABASES_HELP

if TYPE_CHECKING:
    from aman.predictions import Predictions
    from aman.release_check import ReleaseCheck
    from aman.scoring import Comparison, Scores

EPOCHS = 50
"""Epochs of the authors' code: what guessing is given where the file tells no epochs."""

MOST_EPOCHS = 1_000_000

UNKNOWN = "and the protocol has no published size to check them by"
"""Said instead of complete or incomplete."""


PROTOCOL_HELP = (
    f"One of {', '.join(protocols())}, or one of --database FILE.py: the job `protocols` shows them. Also one that is"
    " divided otherwise, by its whole name as scores.json has it: casme2-5-kfold5-seed0, casme2+samm+smic-cross."
)

RELEASE_HELP = (
    "Folder of the release, or s3://bucket/folder: clips, labels, subjects and groups are checked against it. Of"
    " several databases one folder that holds all, or one for each of --database in the same order."
)


@dataclass(frozen=True, kw_only=True)
class Options(SideBySideOptions):
    """Options of score."""

    file: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")] = tyro.MISSING
    """CSV of predictions: clip, subject, label, prediction, and epoch where there are several. Where groups other than
    subjects are left out, left_out may name the group of each clip."""
    protocol: Annotated[str, tyro.conf.arg(help=PROTOCOL_HELP)] = tyro.MISSING
    database: Annotated[tuple[str, ...], tyro.conf.arg(help=f"{DATABASES_HELP} Empty: the protocol's own.")] = ()
    against: Path | None = None
    """Another such table of the same clips, to compare with."""
    root: Annotated[tuple[str, ...], tyro.conf.arg(help=RELEASE_HELP)] = ()
    fingerprint: str = ""
    """What the fingerprint must be, eight leading digits or more."""
    epochs: int = 0
    """Of how many epochs the best one of mere guessing is shown. 0: as many as the file has, or 50."""
    printed: str = ""
    """A percentage that was printed elsewhere (75.40), to be told whether these clips can give it."""
    json: Path | None = None
    """File for the result as JSON."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """All that is found out about a table."""

    given: "Predictions"
    scores: "Scores"
    by_group: "Mapping[str, Scores]"
    literature: float | None
    guessing: dict[int, float]
    check: "ReleaseCheck | None"
    comparison: "Comparison | None"

    @property
    def incomplete(self) -> bool | None:
        """Whether the table is not the protocol's; None where nobody can tell."""
        return bool(self.why) if self.check or self.given.shortfall is not None else None

    @property
    def why(self) -> str:
        """What differs."""
        said = [self.given.shortfall or "", *(self.check.differences if self.check else [])]
        return "; ".join(part for part in said if part)


def main(options: Options) -> int:
    """Read, check, score, compare, write."""
    _refuse(options)
    result = _score(options)
    from aman.tables import write_json

    for line in _text(options, result):
        say(line)
    if options.json:
        write_json(options.json, _json(options, result))
    return DONE


def _refuse(options: Options) -> None:
    """Wrong options, before anything is read."""
    protocol = protocol_named(options.protocol, options.one_database, options.split, options.labels)
    if options.fingerprint and not protocol.split.all_predicted:
        raise UsageError(
            got=f"--fingerprint with {protocol.name}, which keeps clips for training only",
            expected="a protocol that predicts every clip, for the table lacks the others",
            fix="check the table with --root, which shows the fingerprint of the release",
        )
    if options.fingerprint and not re.fullmatch("[0-9a-fA-F]{8,64}", options.fingerprint):
        expected = "8 to 64 hexadecimal digits"
        raise UsageError(
            got=f"--fingerprint {options.fingerprint}", expected=expected, fix="copy it from the other run"
        )
    if not 0 <= options.epochs <= MOST_EPOCHS:
        raise UsageError(
            got=f"--epochs {options.epochs}",
            expected=f"1 to {MOST_EPOCHS}",
            fix="0 takes the file's number",
        )
    if options.printed:
        from aman.tables import reachable

        reachable(options.printed, 1)


def _score(options: Options) -> Result:
    from aman.predictions import read_predictions
    from aman.release_check import check_release
    from aman.scoring import (
        best_test_epoch_accuracy,
        compare,
        guessing_best_of,
        labels_by_fold,
        right_by_epoch,
        score,
        score_by_group,
    )
    from cluster.experiment.plan import select_at

    protocol = protocol_named(options.protocol, options.one_database, options.split, options.labels)
    root = options.release
    selection = select_at(root, protocol, options.one_database) if root else None
    given = read_predictions(options.file, selection.protocol if selection else protocol)
    if not given.fingerprint.startswith(options.fingerprint.lower()):
        raise DataError(
            got=f"fingerprint {given.fingerprint} of {options.file.name}",
            expected=f"{options.fingerprint}, as --fingerprint says",
            fix="score the clips and labels that this fingerprint was made of",
        )
    epochs = options.epochs or given.epochs or EPOCHS
    classes, table = given.protocol.classes, given.table
    other = read_predictions(options.against, given.protocol).table if options.against else None
    return Result(
        given=given,
        scores=score(table, classes),
        by_group=score_by_group(table, classes),
        literature=None if given.by_epoch is None else best_test_epoch_accuracy(right_by_epoch(given.by_epoch)),
        guessing={epochs: guessing_best_of(labels_by_fold(table), epochs)},
        check=check_release(given, selection) if selection else None,
        comparison=None if other is None else compare(table, other, classes),
    )


def _text(options: Options, result: Result) -> Iterator[str]:
    from aman.tables import comparison_table, confusion_table, group_table, printed_text, score_table

    scores, check = result.scores, result.check
    if result.given.encoding:
        yield f"{options.file.name} is not UTF-8: read as {result.given.encoding}"
    split = result.given.protocol.split
    if result.given.fingerprint:
        yield f"fingerprint {result.given.fingerprint}"
    elif check:
        yield f"fingerprint of the release {check.fingerprint}: its clips for training are in no table of predictions"
    if check and result.given.fingerprint:
        same = check.fingerprint == result.given.fingerprint
        yield f"fingerprint of the release {'is equal' if same else f'differs: {check.fingerprint}'}"
    size = f"{scores.clips} clips, {scores.folds} folds"
    sure = "" if check else ", as published; which clips they are is checked with --root"
    stamp = {True: f"incomplete: {result.why}", False: f"complete: {size}{sure}", None: f"{size}, {UNKNOWN}"}
    yield stamp[result.incomplete]
    notes = [stamp[True]] if result.incomplete else []
    notes += [split.text] if split.of_groups else []
    yield score_table(scores, result.given.protocol.name, result.literature, notes, result.guessing)
    yield from group_table(result.by_group, split.one)
    yield confusion_table(scores)
    if options.printed:
        yield f"printed elsewhere, in %: {printed_text(options.printed, scores.clips)}"
    if result.comparison:
        yield comparison_table(result.comparison, str(options.file), str(options.against))


def _json(options: Options, result: Result) -> dict[str, Any]:
    from aman.tables import reachable, score_values

    check, scores, given = result.check, result.scores, result.given
    ((epochs, guessing),) = result.guessing.items()
    return {
        "protocol": given.protocol.name,
        "split": given.protocol.split.text,
        "by_group": {name: score_values(one) for name, one in result.by_group.items()},
        "fingerprint": given.fingerprint,
        "incomplete": result.incomplete,
        "incomplete_why": UNKNOWN if result.incomplete is None else result.why,
        **score_values(scores),
        "guessing_best_of": {"epochs": epochs, "accuracy": guessing},
        "literature": None
        if result.literature is None
        else {"best_test_epoch_accuracy": result.literature, "epochs": given.epochs},
        "against": {"file": str(options.against), **asdict(result.comparison)} if result.comparison else None,
        "release": {
            **asdict(check),
            "fingerprint_equal": check.fingerprint == given.fingerprint if given.fingerprint else None,
        }
        if check
        else None,
        "printed": {"percent": options.printed, **asdict(reachable(options.printed, scores.clips))}
        if options.printed
        else None,
    }


if __name__ == "__main__":
    run_job(Options, main, __doc__)
