"""The data service: it collects, keeps and serves market data over HTTP, WebSocket and MCP."""
