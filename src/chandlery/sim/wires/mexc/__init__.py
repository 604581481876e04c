"""Wire formats of MEXC."""
