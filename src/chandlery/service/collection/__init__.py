"""Collected coins, and their live data."""
