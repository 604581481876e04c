"""All network I/O of chandlery."""
