"""Every name in a store: folders of bytes, of names, of what is under way, and kinds of results."""

BLOBS, REFS = "blobs", "refs"
"""Bytes under their own digest, and the names that say which bytes a result is."""
ASIDE = "aside"
"""Folder of damaged objects."""
UNFINISHED = "unfinished"
"""Checkpoints of folds that are being trained."""
FOLDS = "folds"
"""Kind of the results of folds."""
WEIGHTS = "weights"
"""Kind of what the training of a fold fitted, under the key of the fold."""
TIMINGS = "timings"
"""What was measured for estimates."""


def blob_name(digest: str) -> str:
    """Where the bytes of this sha256 are."""
    return f"{BLOBS}/{digest[:2]}/{digest}"


def blob_digest(name: str) -> str:
    """The digest that the blob of this name must have."""
    return name.rpartition("/")[2]


def ref_name(kind: str, key: str) -> str:
    """Where the name of a result is."""
    return f"{REFS}/{kind}/{key[:2]}/{key}"


def unfinished_name(key: str) -> str:
    """Where the checkpoint of a fold is."""
    return f"{UNFINISHED}/{key[:2]}/{key}"


def timing_name(key: str) -> str:
    """Where a timing is."""
    return f"{TIMINGS}/{key[:2]}/{key}"
