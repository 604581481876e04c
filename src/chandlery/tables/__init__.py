"""Arrow schemas, and frames in and out."""
