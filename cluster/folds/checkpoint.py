"""The checkpoint of a fold that trains for minutes, for whichever worker goes on with it."""

import hashlib
import io
from typing import Any

from cluster.store.base import Store
from cluster.store.names import unfinished_name

DIGEST_BYTES = 32


class FoldKeeper:
    """Keeps a fold's state in the store, behind its own sha256: a state that was written in part is none."""

    def __init__(self, store: Store, key: str) -> None:
        self.store, self.name, self.saved = store, unfinished_name(key), False

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, if it is whole; read as tensors alone, no program is run."""
        import torch

        content = self.store.get(self.name)
        self.saved = bool(content)
        if not content or hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return None
        return torch.load(io.BytesIO(content[DIGEST_BYTES:]), map_location="cpu", weights_only=True)

    def save(self, state: dict[str, Any]) -> None:
        """Put the state in the place of the one before."""
        import torch

        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
        self.store.replace(self.name, hashlib.sha256(content).digest() + content)
        self.saved = True

    def forget(self) -> None:
        """Take the state away: its fold is finished."""
        if self.saved:
            self.store.replace(self.name, b"")
