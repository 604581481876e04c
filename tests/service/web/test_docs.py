"""The page that shows the OpenAPI document."""

from __future__ import annotations

import re


async def test_nothing_of_it_comes_from_elsewhere(running):
    """What the page names is here, is what it is said to be, and names no other server either."""
    _, session = running
    async with session.get("/docs") as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    named = re.findall(r'(?:src|href)="([^"]*)"', page)

    assert {"docs/page.css", "docs/page.js", "openapi.json"} == set(named)
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style>|style=| on\w+=", page)
    for path, kind in (("docs/page.css", "text/css"), ("docs/page.js", "text/javascript")):
        async with session.get(f"/{path}") as answer:
            text = await answer.text()
            assert (200, kind) == (answer.status, answer.content_type)
        assert "//" not in re.sub(r"^//.*$", "", text, flags=re.MULTILINE).replace('"//', "")
        assert "innerHTML" not in text


async def test_the_pages_that_came_with_the_framework_are_gone(running):
    """They load scripts from a public server."""
    async with running[1].get("/redoc") as answer:
        assert 404 == answer.status
