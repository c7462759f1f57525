"""Data-parallel training of the project's own weights: the trunk and the magnifier."""
