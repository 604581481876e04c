"""The vocabulary of chandlery: plain values and pure functions, no I/O."""
