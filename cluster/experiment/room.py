"""What a run reads, and whether there is room for what it writes: asked by `--plan`, which leaves nothing there."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from aman.places import check_folder, free_below
from cluster.features.keys import ClipPlan
from cluster.store.base import Store, storage_error
from cluster.store.folder import FolderStore


def reading_text(clips: Iterable[ClipPlan]) -> str:
    """`to read: 1.52 GB in 14230 files`, of the clips that lack inputs; empty where the files are in a bucket."""
    sizes: list[int] = []
    videos: set[Path] = set()
    for plan in clips:
        if plan.clip.video in videos:
            continue
        if plan.clip.video:
            videos.add(plan.clip.video)
        for path in plan.clip.frames:
            with suppress(OSError):  # no file of this machine
                sizes.append(path.stat().st_size)
    return f"to read: {sum(sizes) / 1e9:.2f} GB in {len(sizes)} files" if sizes else ""


def room_text(store: Store, out: Path | None, needed: float) -> list[str]:
    """A line for the store, and one for the folder of results: both can be written, and so much is free there.

    `needed` is the bytes that the cache will take, as far as they are known. Raises `UsageError` where one of the two
    cannot be written. A bucket gets the few bytes of the check that every run makes.
    """
    lines = []
    if isinstance(store, FolderStore):
        try:
            free = free_below(store.folder)
        except OSError as error:
            raise storage_error(error, store.folder) from None
        short = f", less than the {needed / 1e9:.1f} GB that the cache needs" if needed > free else ""
        lines.append(f"store: {store.folder} can be written, {free / 1e9:.1f} GB free{short}")
    else:
        store.check_writable()
        lines.append(f"store: {store.uri} can be written")
    if out is not None:
        lines.append(f"results: {out} can be written, {check_folder(out, '--out') / 1e9:.1f} GB free")
    return lines
