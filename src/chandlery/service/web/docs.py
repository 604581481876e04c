"""``/docs``: a page that shows the OpenAPI document and tries its endpoints, with our own scripts only."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

routes = APIRouter(include_in_schema=False)

_PAGES = files("chandlery.service.web") / "pages"


@routes.get("/docs")
async def page() -> Response:
    """Return the page."""
    return _file("docs.html", "text/html")


@routes.get("/docs/page.css")
async def style() -> Response:
    """Return the style sheet."""
    return _file("page.css", "text/css")


@routes.get("/docs/page.js")
async def script() -> Response:
    """Return the script."""
    return _file("page.js", "text/javascript")


@cache
def _file(name: str, media_type: str) -> Response:
    return Response((_PAGES / name).read_bytes(), media_type=media_type)
