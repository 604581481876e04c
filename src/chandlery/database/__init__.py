"""The embedded database: schema and repositories."""
