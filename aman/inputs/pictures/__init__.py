"""Inputs that are pictures of the keyframes, of the motion between them, or of the whole clip."""
