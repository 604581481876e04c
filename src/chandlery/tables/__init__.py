"""Arrow schemas, and conversion of data frames."""
