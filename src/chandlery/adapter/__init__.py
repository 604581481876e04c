"""The contract between chandlery and an exchange: pure, no I/O."""
