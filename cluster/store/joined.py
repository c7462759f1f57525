"""Several releases as one, each in a folder or bucket of its own: the parts of databases side by side."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from aman.databases.base import Database
from aman.databases.index import Index
from aman.databases.side_by_side import merged
from aman.errors import UsageError
from cluster.store.base import Store
from cluster.store.releases import BucketRelease, FolderRelease, ObjectPath, in_bucket, open_release

Release = FolderRelease | BucketRelease
Root = str | Path | tuple[str, ...]
"""Where a database is; of databases side by side one folder that holds all, or a folder for each in their order."""


class JoinedRelease:
    """Releases in several places; a file is read where it is."""

    def __init__(self, parts: Sequence[Release]) -> None:
        self.parts = tuple(parts)

    def digests(self, paths: Sequence[Path]) -> list[str]:
        """sha256 of each file of a clip, in order. The files of a clip are all of one part."""
        return self._owner(paths[0]).digests(paths) if paths else []

    def read(self, path: Path) -> bytes:
        """Content of a file."""
        return self._owner(path).read(path)

    def _owner(self, path: Path) -> Release:
        if isinstance(path, ObjectPath):
            return next(
                part for part in self.parts if isinstance(part, BucketRelease) and path.is_relative_to(part.folder)
            )
        return next(part for part in self.parts if isinstance(part, FolderRelease))


def index_of(
    release: "Release | JoinedRelease",
    database: Database,
    then: Callable[[Release, Index], Index] = lambda release, index: index,
) -> Index:
    """The index that a database's reader makes of a release, or several readers of theirs; `then` makes another one of
    each."""
    if not isinstance(release, JoinedRelease):
        return then(release, release.index(database.index))
    pairs = zip(database.parts, release.parts, strict=True)
    return database.checked(merged(database.name, [(part, then(one, one.index(part.index))) for part, one in pairs]))


def listed_of(release: "Release | JoinedRelease", database: Database) -> tuple[Path, dict[str, str]] | None:
    """The challenge's list of clips, from the first place that has one; None without one."""
    places = release.parts if isinstance(release, JoinedRelease) else (release,)
    found = (one.look(database.official_list) for one in places if database.official_list)
    return next((one for one in found if one), None)


@contextmanager
def open_releases(root: Root, database: Database, store: Store | None = None) -> Iterator["Release | JoinedRelease"]:
    """The release of a database at its root, or at its roots. `UsageError` where there are several roots, and not as
    many as databases side by side."""
    if not isinstance(root, tuple):
        with open_release(root, store) as release:
            yield release
        return
    if len(root) != len(database.parts):
        raise UsageError(
            got=f"--root {' '.join(root)} for --database {' '.join(part.name for part in database.parts)}",
            expected="one folder that holds all databases, or one for each in the same order",
            fix="name one --root, or as many as databases",
        )
    with ExitStack() as opened:
        yield JoinedRelease([opened.enter_context(open_release(one, store)) for one in root])


def all_in_buckets(root: Root) -> bool:
    """Whether every machine that has the credentials can read the release."""
    return all(map(in_bucket, root)) if isinstance(root, tuple) else in_bucket(root)
