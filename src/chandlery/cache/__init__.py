"""The cache of past rows: day files, shared by threads and processes."""
