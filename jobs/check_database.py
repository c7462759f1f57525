"""Check a release against a protocol: clips, folds and classes, and every problem with its consequence.

Laptop: `python jobs/check_database.py --database casme2 --root /data/CASMEII`, or databases side by side, with one
folder that holds all or one for each: `--database casme2 samm --root /data/CASMEII /data/SAMM --protocol cross`. On a
cluster the same command runs where the release lies, or anywhere with `--root s3://bucket/CASMEII`. Time: seconds for
the sheet and the file names, a minute or two for the images of a whole release on two cores (every frame is decoded,
and the faces in every onset frame are counted), from a bucket as long as it takes to fetch them; `--no-images` leaves
them out. Exit code 4 where a run would be incomplete.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import tyro

from aman.errors import DataError
from jobs.command_line import DONE, SideBySideOptions, roots_of, run_job, say
from jobs.help_texts import DATABASES_HELP, PROTOCOL_TEXT

if TYPE_CHECKING:
    from aman.check import Check
    from aman.databases import Index
    from cluster.store.joined import Release


@dataclass(frozen=True, kw_only=True)
class Options(SideBySideOptions):
    """Options of check_database."""

    database: Annotated[tuple[str, ...], tyro.conf.arg(help=DATABASES_HELP)] = ("casme2",)
    protocol: Annotated[str, tyro.conf.arg(help=PROTOCOL_TEXT)] = ""
    images: bool = True
    """Decode every frame too, and read every array."""
    json: Path | None = None
    """File for the result as JSON, with a row for each clip: labels, action units, frame numbers, frame rate."""


def main(options: Options) -> int:
    """Read, compare, tell."""
    from aman.check import check, check_images, lines, table
    from aman.databases import find
    from aman.protocols import protocol_for
    from aman.tables import write_json
    from cluster.store.joined import index_of, listed_of, open_releases

    database, root = find(options.one_database), roots_of(options.one_database, options.root)
    protocol = protocol_for(options.one_database, options.protocol, options.split, options.labels)

    def decoded(release: "Release", index: "Index") -> "Index":
        if not options.images:
            return index
        images = sum(clip.offset - clip.onset + 1 if clip.video else len(clip.frames) for clip in index)
        say(f"{len(index.clips)} clips indexed; {f'decoding {images} images' if images else 'reading the arrays'}")
        return check_images(index, release.folder, release.read)

    with open_releases(root, database) as release:
        index, listed = index_of(release, database, decoded), listed_of(release, database)
    found = check(index, protocol, listed)
    for line in lines(found.problems):
        say(line)
    for remark in index.remarks:
        say(f"remark: {remark}")
    if database.unverified:
        say(f"unverified: {database.unverified}")
    say(text(found))
    if options.json:
        clips = {"unverified": database.unverified or None, "table": table(index, found)}
        write_json(options.json, {**as_json(found), **clips})
    if found.shortfall:
        say(f"Next: mend what is named above; a run as it is would be incomplete ({found.shortfall})")
        return DataError.code
    named = {"protocol": options.protocol, "split": options.split, "labels": options.labels}
    more = "".join(f" --{name} {quote(value)}" for name, value in named.items() if value)
    places = " ".join(map(quote, (root,) if isinstance(root, str) else root))
    say(f"Next: python jobs/loso.py --database {' '.join(options.database)} --root {places}{more}")
    return DONE


def text(found: "Check") -> str:
    """Counts beside those of the protocol."""
    wanted, split = found.edition, found.protocol.split
    folds = split.count if split.of_groups else wanted.folds if wanted else None
    lines = [
        f"{found.protocol.name}: {found.clips} clips{f' of {wanted.clips} ({wanted.name})' if wanted else ''},"
        f" {found.folds} folds{f' of {folds}' if folds else ''},"
        f" {len(found.problems)} problems, fingerprint {found.fingerprint[:12] or 'none'}"
    ]
    for name, count in found.counts.items():
        lines.append(f"  {name:<12} {count:>4}{f' of {wanted.counts[name]}' if wanted else ''}")
    return "\n".join(lines)


def as_json(found: "Check") -> dict[str, object]:
    """The result as it is written."""
    return {
        "protocol": found.protocol.name,
        "clips": found.clips,
        "folds": found.folds,
        "classes": found.counts,
        "fingerprint": found.fingerprint,
        "incomplete": bool(found.shortfall),
        "incomplete_why": found.shortfall,
        "expected": asdict(found.edition) if found.edition else None,
        "problems": [
            {
                "file": problem.file,
                "row": problem.row,
                "what": problem.what,
                "fix": problem.fix,
                "consequence": problem.consequence,
                "clip": problem.clip_id,
            }
            for problem in found.problems
        ],
    }


if __name__ == "__main__":
    run_job(Options, main, __doc__)
