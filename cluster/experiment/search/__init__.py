"""A search over configurations: which are trained, which is chosen, and the trials of Ray Tune."""
