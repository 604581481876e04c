"""Model Context Protocol (MCP) server for language models."""
