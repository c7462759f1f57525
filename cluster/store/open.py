"""From a URI to its store: the only file that knows all kinds of them."""

import os
from pathlib import Path

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
        return FolderStore(Path(uri).expanduser())
    if scheme == "file" and rest.startswith("/"):
        return FolderStore(Path(rest))
    if scheme == "s3":
        from cluster.store.local_copies import NearStore
        from cluster.store.s3 import S3Store

        return NearStore(uri) if near else S3Store(uri)
    raise UsageError(
        got=f"--store of the kind {scheme}://",
        expected="a folder, file:///folder or s3://bucket/folder",
        fix="give a folder's path, or a bucket",
    )
