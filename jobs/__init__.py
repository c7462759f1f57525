"""One file a verb. `python jobs/X.py --help` says what it does; torch, ray and mlflow are imported after parsing."""
