"""The server under the application."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from fastapi import FastAPI

from chandlery.core.errors import InvalidInput, StorageFull
from chandlery.service.web.server import listening, serving


def test_an_address_that_is_taken():
    """Is named."""
    first = listening("127.0.0.1", 0)
    with pytest.raises(InvalidInput, match="cannot listen on 127"):
        listening("127.0.0.1", first.getsockname()[1])
    first.close()


async def test_an_application_that_cannot_start():
    """Raises what is wrong, and nothing is served."""

    @asynccontextmanager
    async def lifespan(_):
        raise StorageFull("no room")
        yield

    bound = listening("127.0.0.1", 0)
    with pytest.raises(StorageFull, match="no room"):
        async with serving(FastAPI(lifespan=lifespan), bound):
            pass
    bound.close()
