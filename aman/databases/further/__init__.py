"""Databases that came after those of the AMAN paper, one file each, and composites of them."""
