"""Write a database made by code: one with a known answer, or a look-alike of a licensed release.

Laptop: `python jobs/synthesize.py --out runs/synthetic`. Time: about half a second a clip on one core.
Full size: `python jobs/synthesize.py --layout casme2 --full-size --out runs/casme2`. Time: five seconds.

Faces are warps of one public-domain portrait; every expression class is a smooth displacement field. In the layout
`synthetic` half of the clips are weak and half are strong, and `truth/` has every frame's displacement; `--version 1`
is the database of the first releases, with one strength for each subject. The others have the folders, sheets and
quirks of their release, and at full size its counts, in images of 16x12 pixels.
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from aman.making import Making, make_database
from jobs.command_line import DONE, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options(Making):
    """Options of synthesize."""


def main(options: Options) -> int:
    """Write the database, and say what to do next."""
    from aman.layouts import layouts
    from aman.releases import RELEASES

    if not make_database(options, say):
        return DONE
    place = options.out or Path("runs", options.layout)
    further = layouts().get(options.layout)
    job, written = "loso", f"{options.subjects * options.clips_per_subject} clips"
    if options.full_size:
        clips = "the" if further else sum(RELEASES[options.layout].counts.values())
        job, written = "check_database", f"{clips} clips"
    say(f"wrote {written} to {place}")
    database = further.database if further else options.layout
    say(f"Next: python jobs/{job}.py --database {database} --root {quote(str(place))}")
    return DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
