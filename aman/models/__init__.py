"""Networks over cached features, and their settings; AMAN is the first."""
