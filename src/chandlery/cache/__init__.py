"""Cache of past rows in day files, shared by threads and processes."""
