"""Binance: markets, accounts and the archive."""
