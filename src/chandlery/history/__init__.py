"""The past: candles and funding rates of a range, from cache, archive or REST, complete and correct."""
