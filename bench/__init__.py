"""What the project measures of itself. `python bench/X.py --help` says what it does."""
