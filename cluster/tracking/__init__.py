"""Sends runs to MLflow, keeps the runs that MLflow did not accept, and uploads them later."""
