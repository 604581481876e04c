"""Names of the documented diagrams for what has another name here, or another package's."""

from __future__ import annotations

from fastapi.routing import APIRoute, APIWebSocketRoute
from fastapi.security import OAuth2PasswordBearer

from chandlery.database.sqlite import SqliteDatabase
from chandlery.service.historical.fetcher import HistoricalFetcher
from chandlery.service.web.application import application

__all__ = [
    "DatabaseConnectionImpl",
    "FastAPIApp",
    "HTTP_Endpoint",
    "HistoricalDataManagerImpl",
    "OAuth2PasswordBearer",
    "WebSocketEndpoint",
]

FastAPIApp = application
"""Returns the FastAPI application of a ``Service``."""
HTTP_Endpoint = APIRoute
"""Class of the application's HTTP routes."""
WebSocketEndpoint = APIWebSocketRoute
"""Class of the application's WebSocket routes."""
HistoricalDataManagerImpl = HistoricalFetcher
DatabaseConnectionImpl = SqliteDatabase
