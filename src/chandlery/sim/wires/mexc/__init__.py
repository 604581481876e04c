"""MEXC."""
