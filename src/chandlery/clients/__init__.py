"""Exchange clients: interfaces, native clients, plugins, and fallback."""
