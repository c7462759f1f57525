"""The training of folds: their keys, the queue, Ray Train workers, and the same loop in this process."""
