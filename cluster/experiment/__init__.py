"""What loso, tune and paper have in common: plan, run, choose, score, estimate, write."""
