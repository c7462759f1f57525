"""Networks over cached features; AMAN is the first."""

from aman.models.aman import AMAN, Output

__all__ = ["AMAN", "Output"]
