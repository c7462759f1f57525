"""Training of the learned magnifier: its settings, the scenes that it learns from, and the loop."""
