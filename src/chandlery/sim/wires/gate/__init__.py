"""Wire formats of Gate.io."""
