"""Clips to cached arrays: their keys, one clip, Ray tasks, and the arrays that a worker has loaded."""
