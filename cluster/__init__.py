"""Where and how a benchmark runs: store, cache, Ray session, preparation, folds, tracking."""
