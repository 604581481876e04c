"""Which coins are collected, and what comes of them live."""
