"""Candles, funding rates and order books of crypto exchanges, past and live."""
