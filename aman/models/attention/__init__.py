"""Networks of transformers and of attention maps."""

HEADS = 8
"""Heads of CausalNet's attention between its four pictures."""
