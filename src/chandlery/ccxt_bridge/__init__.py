"""Bridge to ccxt: an async client, and the synchronous exchange manager."""
