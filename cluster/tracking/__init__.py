"""What MLflow is told, and the upload of what it could not be told."""
