"""Trained models as files, and what they predict of clips that are given to them."""
