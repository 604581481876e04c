"""ccxt: as a client, and as the synchronous exchange manager."""
