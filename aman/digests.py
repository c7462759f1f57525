"""Identities of weights in content keys and runs: digests of what a file holds, not of its path or its form. Most files
are read without torch (`aman.plain_weights`); torch is imported for the others alone."""

import hashlib

from aman.content import digest_of
from aman.plain_weights import RANDOM_TRUNK_SEED, magnifier_file, plain_magnifier, plain_trunk, trunk_file

RANDOM = f"seed {RANDOM_TRUNK_SEED}, version 1"
"""Which network is meant where weights are drawn."""


def trunk_digest(weights: str) -> str:
    """Identity of a trunk: the digest of its tensors; of the recipe of what is random in it, because the last bits of a
    calibration differ from processor to processor. `UsageError` for weights that are none."""
    if weights == "random":
        return hashlib.sha256(f"random ResNet-18, {RANDOM}".encode()).hexdigest()
    plain = None if weights == "imagenet" else plain_trunk(trunk_file(weights))
    if plain is not None:
        tensors, whole = digest_of(plain[0]), plain[1]
    else:
        from aman.backbone import holds_layer4, tensors_digest

        tensors, whole = tensors_digest(weights), holds_layer4(weights)
    return tensors if whole else hashlib.sha256(f"{tensors}, random layer4, {RANDOM}".encode()).hexdigest()


def has_layer4(weights: str) -> bool:
    """Whether these weights say anything about layer4. `UsageError` for weights that cannot be read."""
    if weights in ("random", "imagenet"):
        return True
    plain = plain_trunk(trunk_file(weights))
    if plain is not None:
        return plain[1]
    from aman.backbone import holds_layer4

    return holds_layer4(weights)


def magnifier_digest(weights: str) -> str:
    """Identity of the learned magnifier's weights: the digest of its tensors, and its padding. `UsageError` for weights
    that are none."""
    plain = plain_magnifier(magnifier_file(weights))
    if plain is not None:
        return f"{digest_of(plain[0])}-{plain[1]}"
    from aman.backbone import digest
    from aman.magnify.weights import load_magnifier

    network = load_magnifier(weights)
    return f"{digest(network)}-{network.padding}"
