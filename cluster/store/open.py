"""From a URI to its store: the only file that knows all kinds of them."""

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

from aman.errors import UsageError
from cluster.store.base import Store
from cluster.store.folder import FolderStore

USUAL, VARIABLE = "runs/store", "AMAN_STORE"
"""Where results are kept when no store is named, and the variable by which a cluster's file names another."""


def open_store(uri: str, *, near: bool = True) -> Store:
    """The store of a URI: a folder's path, `file://` or `s3://bucket/folder`; empty text means `$AMAN_STORE`, or
    `runs/store`. Nothing is made or touched yet.

    `near`: a bucket's blobs may be read from this machine's copies.
    """
    uri = uri or os.environ.get(VARIABLE) or USUAL
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return _in_folder(uri)
    if scheme == "file" and rest.startswith("/"):
        return _in_folder(os.fsdecode(unquote_to_bytes(rest)))
    if scheme == "s3" and "\0" not in uri:
        from cluster.store.local_copies import NearStore
        from cluster.store.s3 import S3Store

        return NearStore(uri) if near else S3Store(uri)
    raise UsageError(
        got=f"--store {uri!r}",
        expected="a folder, file:///folder or s3://bucket/folder",
        fix="give a folder's path, or a bucket",
    )


def _in_folder(name: str) -> FolderStore:
    """The store in a folder, which may not be there yet. `UsageError` where nothing can be kept under that name."""
    try:
        folder = Path(name).expanduser().absolute()
        there = next(place for place in (folder, *folder.parents) if _is_there(place))
        why = "" if there.is_dir() else f"{there} is no folder"
    except RuntimeError:
        why = "there is no such user"
    except (OSError, ValueError) as error:  # too long a name, or the character NUL
        why = f"this is no name of a folder ({getattr(error, 'strerror', error)})"
    if why:
        raise UsageError(
            got=f"--store {name!r}, which cannot be used: {why}",
            expected="a folder that can be read and written, or a name that is free",
            fix="name another --store",
        )
    return FolderStore(folder)  # pyrefly: ignore[unbound-name]


def _is_there(place: Path) -> bool:
    """Whether anything has this name. Raises for what can be nobody's name, which `Path.exists` calls absent."""
    try:
        place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
