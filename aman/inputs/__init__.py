"""What is cached of a clip, one stage a file."""

from aman.inputs.base import ClipFacts, Input, View, chain, keys_of, stages, weights_of

__all__ = ["ClipFacts", "Input", "View", "chain", "keys_of", "stages", "weights_of"]
