"""Live candles and order books."""
