"""
The data service: it collects, stores and serves market data over HTTP, WebSocket and MCP.

Its public names import from here and are loaded at their first use; ``__init__.pyi`` lists them, ``docs/names.md``
describes them.
"""

from __future__ import annotations

from chandlery.core.lazy import exported

__all__, __getattr__, __dir__ = exported(__name__, __file__)
