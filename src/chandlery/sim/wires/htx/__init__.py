"""Wire formats of HTX."""
