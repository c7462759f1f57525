"""The store: named objects that appear whole or not at all, behind one small interface.

Names are made of digests and fixed words only. Putting never replaces: the first writer of a name wins.
"""

import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from aman.errors import DataError, UsageError, UserError


class Store(Protocol):
    """What a store must do. Processes send the store's `uri` to each other, and each process opens the store itself."""

    uri: str

    def get(self, name: str) -> bytes | None:
        """Content of an object, or None where there is none."""

    def put(self, name: str, content: bytes) -> bool:
        """Create an object; False where one of that name exists, which is then left as it is."""

    def replace(self, name: str, content: bytes) -> None:
        """Create an object or take another's place; with no content, take it away. Only what no result depends on is
        kept under such a name."""

    def size(self, name: str) -> int | None:
        """Bytes of an object, or None where there is none."""

    def names(self, prefix: str) -> Iterator[str]:
        """Names of all objects that begin with the prefix."""

    def set_aside(self, name: str) -> None:
        """Take a damaged object out of the way: kept under `aside/`, found no more."""

    def ages(self, prefix: str) -> Iterator[tuple[str, float, int]]:
        """Name, seconds since it was written and bytes of everything under the prefix, leftovers of killed writers
        and emptied objects included."""

    def delete(self, name: str) -> None:
        """Remove an object for good; only a person's clean-up asks for it."""

    def check_writable(self) -> None:
        """Raise `UserError` now rather than after an hour of work."""


def storage_error(error: OSError, folder: Path) -> UserError:
    """What an operating system's refusal means to a user."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DataError(
            got=f"a full disk under {folder}",
            expected="room for the cache",
            fix="free some space or name another --store, then run the same command: what is finished stays",
        )
    return UsageError(
        got=f"--store {folder}, which cannot be used ({error.strerror})",
        expected="a folder that can be read and written",
        fix="name another --store, or change its permissions",
    )
