"""The doors: HTTP and WebSocket."""
