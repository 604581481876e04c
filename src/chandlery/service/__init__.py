"""
Data service that collects, stores and serves market data over HTTP, WebSocket and MCP.

Public names import from here and load on first use. ``__init__.pyi`` lists them, ``docs/names.md`` describes them.
"""

from __future__ import annotations

from chandlery.core.lazy import exported

__all__, __getattr__, __dir__ = exported(__name__, __file__, extra="server")
