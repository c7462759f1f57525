"""`python -m aman.released`: take the code as it is now for the released one, and write `released.json`."""

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase

from aman.errors import UsageError
from aman.versions import MANIFEST, Release, code_of, names, released


def next_release(same: Sequence[str] = (), raised: Sequence[str] = ()) -> Release:
    """The release that takes the code as it is now for the released one.

    `same` and `raised` are names of stages or patterns, `inputs.*`: the number of a stage whose result is unchanged
    though its code is not stays, and the number of a stage whose result is another one goes up by one. Raises
    `UsageError` for a stage whose code changed and of which neither is stated, and for a pattern that fits no stage.
    """
    old, now = released(), {name: code_of(name) for name in names()}
    for pattern in (*same, *raised):
        if not any(fnmatchcase(name, pattern) for name in now):
            raise UsageError(got=f"`{pattern}`, which fits no stage", expected=", ".join(now), fix="name one of these")
    unstated = []
    numbers = dict(old.numbers)
    for name, code in now.items():
        kept, up = (any(fnmatchcase(name, pattern) for pattern in patterns) for patterns in (same, raised))
        if kept and up:
            raise UsageError(got=f"{name} as unchanged and as raised", expected="one of the two", fix="choose one")
        before = old.code(name)
        if not kept and not up and before is not None and before != code:
            changed = {module for module, _ in set(code.items()) ^ set(before.items())}
            unstated.append(f"{name} ({', '.join(sorted(changed))})")
        numbers[name] = old.numbers.get(name, 0) + (up or before is None)
    if unstated:
        raise UsageError(
            got=f"code that is not the released one in {len(unstated)} stages: {'; '.join(unstated)}",
            expected="a statement for each, whether its result changed",
            fix='`make released RAISED="STAGE ..."` where results change, SAME="STAGE ..." where none does',
        )
    return Release(
        numbers=numbers,
        modules={name: sorted(now.get(name, ())) for name in numbers},
        digests={module: digest for code in now.values() for module, digest in code.items()},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Rewrite `released.json`: `python -m aman.released --same "tim" --raised "align inputs.*"`."""
    parser = argparse.ArgumentParser(prog="python -m aman.released", description=main.__doc__)
    parser.add_argument("--same", default="", help="stages whose code changed and whose results did not")
    parser.add_argument("--raised", default="", help="stages whose results changed")
    chosen = parser.parse_args(arguments)
    try:
        release = next_release(chosen.same.split(), chosen.raised.split())
    except UsageError as error:
        parser.exit(error.code, f"{error}\n")
    MANIFEST.write_text(release.text(), encoding="utf-8")
    old = released()
    for name, number in release.numbers.items():
        if (old.numbers.get(name), old.code(name)) != (number, release.code(name)):
            sys.stdout.write(f"{name}: released as version {number}\n")


if __name__ == "__main__":
    main()
