"""Clients of exchanges: their interfaces, those of our adapters, plugins, fallback."""
