"""The Ray session, the MLflow server, and which nodes a cluster launches."""
