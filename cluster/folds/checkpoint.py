"""The checkpoint of a fold that trains for minutes, for whichever worker goes on with it."""

import hashlib
import io
from typing import Any

from aman.training.fitted import Fitted
from cluster.store.base import Store
from cluster.store.names import unfinished_name

DIGEST_BYTES = 32


class FoldKeeper:
    """Keeps a fold's state in the store, behind a sha256 of the fold's key and the state: a state that was written in
    part, or for another fold, is none, and the fold begins at its first epoch."""

    def __init__(self, store: Store, key: str, wants_weights: bool = False) -> None:
        self.store, self.key, self.name, self.saved = store, key.encode(), unfinished_name(key), False
        self.wants_weights = wants_weights
        self.weights: Fitted | None = None
        """What the training fitted, where it is wanted."""

    def load(self) -> dict[str, Any] | None:
        """The state that was saved last, if it is whole; read as tensors alone, no program is run."""
        import torch

        content = self.store.get(self.name)
        self.saved = bool(content)
        if not content or self._digest(content[DIGEST_BYTES:]) != content[:DIGEST_BYTES]:
            return None
        try:
            state = torch.load(io.BytesIO(content[DIGEST_BYTES:]), map_location="cpu", weights_only=True)
        except Exception:
            return None
        return state if isinstance(state, dict) else None

    def _digest(self, content: bytes) -> bytes:
        return hashlib.sha256(self.key + content).digest()

    def save(self, state: dict[str, Any]) -> None:
        """Put the state in the place of the one before."""
        import torch

        file = io.BytesIO()
        torch.save(state, file)
        content = file.getvalue()
        self.store.replace(self.name, self._digest(content) + content)
        self.saved = True

    def fitted(self, fitted: Fitted) -> None:
        """Hold what the training fitted for whoever publishes it."""
        self.weights = fitted

    def forget(self) -> None:
        """Take the state away: its fold is finished."""
        if self.saved:
            self.store.replace(self.name, b"")
