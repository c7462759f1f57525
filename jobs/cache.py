"""Look after a store: what is in it, whether it is whole, what can be thrown away.

Laptop: `python jobs/cache.py status`, `verify`, `bind` or `clean`; a cluster's with `--store s3://bucket/cache`.
`clean` says what it would remove; `--delete` removes it. It never removes what a result leads to, nor what is younger
than a day, so it may run beside a job. Of timings, from which `--plan` estimates and on which no result depends, it
removes those older than ninety days. Time: two seconds for 300,000 objects; `verify` and `bind` read every byte.

A name says which kind of result and which key it is of, so that results whose names were exchanged are noticed. Names
of early releases do not; their results count all the same, and `bind` writes those names as they are written today.
`bind` proves that the bytes are whole and have the form of their kind. It does not prove that each result was under its
own name before.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from aman.errors import DataError, UsageError
from jobs.command_line import DONE, run_job, say


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of cache."""

    verb: Annotated[Literal["status", "verify", "bind", "clean"], tyro.conf.Positional] = "status"
    """status counts, verify reads everything and sets damaged objects aside, bind writes names of early
    releases as they are written today, clean lists what no run can use."""
    store: str = ""
    """Folder, file:///folder or s3://bucket/folder."""
    delete: bool = False
    """With clean: remove what it lists."""
    json: Path | None = None
    """File for the result as JSON."""


def main(options: Options) -> int:
    """Do what the verb says."""
    from aman.tables import write_json
    from cluster.folds.results import damage
    from cluster.store.cleanup import bind_results, removable, status, verify
    from cluster.store.open import open_store

    if options.delete and options.verb != "clean":
        raise UsageError(got=f"--delete with {options.verb}", expected="--delete with clean", fix="leave --delete out")
    store = open_store(options.store, near=False)
    found = status(store)
    if not (found.blobs or found.results or found.aside or found.timings):
        raise UsageError(
            got=f"--store {options.store or store.uri}, which is empty",
            expected="a store in which a job has left results",
            fix="name the --store of the jobs, or run a job first",
        )
    damaged, result = 0, asdict(found)
    if options.verb == "status":
        for kind, count in found.results.items():
            say(f"{kind}: {count} results")
        say(f"{found.blobs} blobs, {found.size / 1e6:.1f} MB; {found.aside} set aside")
        say(f"{found.timings} timings, from which --plan estimates how long a run takes")
    elif options.verb == "verify":
        sound, damaged = verify(store, say, damage)
        result |= {"sound": sound, "damaged": damaged}
        say(f"{sound} blobs are what was written, {damaged} were not; the next run makes damaged objects again")
    elif options.verb == "bind":
        bound, damaged = bind_results(store, say, damage)
        result |= {"bound": bound, "damaged": damaged}
        again = f"{damaged} led to no result, which the next run computes again"
        say(f"{bound} names of early releases say their key; {again}")
    else:
        names = list(removable(store))
        for name, size, why in names:
            say(f"{'removed' if options.delete else 'would remove'} {name} ({size} bytes): {why}")
            if options.delete:
                store.delete(name)
        result |= {"removable": [name for name, _, _ in names], "deleted": options.delete}
        say(f"{len(names)} objects, {sum(size for _, size, _ in names) / 1e6:.1f} MB")
        if names and not options.delete:
            say("Next: the same command with --delete")
    if options.json:
        write_json(options.json, result)
    return DataError.code if damaged else DONE


if __name__ == "__main__":
    run_job(Options, main, __doc__)
