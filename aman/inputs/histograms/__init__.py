"""Inputs that are one vector a clip: histograms, block by block."""
