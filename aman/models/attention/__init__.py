"""Networks of transformers and of attention maps."""
