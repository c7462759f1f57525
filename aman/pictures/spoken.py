"""What the decoders of C libraries say: they print their warnings, and have no other way to tell of damage."""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

LOCK = threading.Lock()
MOST_BYTES = 2**20
DECODERS = re.compile(
    r"^(\[[^\]]+ @ 0x[0-9a-f]+\]|\[ *(WARN|ERROR|INFO|DEBUG)|OpenCV|Corrupt|Premature|Inconsistent|Invalid|Unsupported|"
    r"Unknown Adobe|Warning: unknown|Application transferred|tempfile\.tif: |_?TIFF\w*: |\w+(Decode|Setup)\w*: )"
)
"""How lines of libjpeg, FFmpeg, libtiff and OpenCV begin. Other lines are other threads' and get printed."""


def _unnamed_file() -> IO[bytes]:
    """A file that nobody else sees, in memory where the system has such files: one is made for every picture."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("said"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


@contextmanager
def listening() -> Iterator[list[str]]:
    """What decoders print to the standard error stream while the body runs: the list is filled at its end.

    One caller at a time listens, for the stream is the process's. Addresses in memory are taken out of the lines.
    """
    lines: list[str] = []
    with LOCK, _unnamed_file() as kept:
        before = None
        with suppress(OSError):  # a service may have no such stream
            before = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield lines
        finally:
            if before is None:
                os.close(2)
            else:
                os.dup2(before, 2)
            kept.seek(0)
            for line in kept.read(MOST_BYTES).splitlines(keepends=True):
                text = line.decode(errors="replace").strip()
                if DECODERS.match(text):
                    lines.append(re.sub(r" @ 0x[0-9a-f]+", "", text))
                elif before is not None and text:
                    os.write(2, line)
            if before is not None:
                os.close(before)
