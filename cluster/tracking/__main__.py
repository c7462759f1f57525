"""`python -m cluster.tracking OUT`: upload what MLflow did not take of a run."""

from cluster.tracking.pending import main

main()
