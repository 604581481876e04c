"""The embedded database: its schema, and the repositories of what the service stores."""
