"""Prefetch of the next item while the current one is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from anyio import CancelScope

_Item = TypeVar("_Item")


async def prefetch(items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
    """Yield the same items, fetching the next one while the caller processes the current one; closes them."""
    async with aclosing(items):
        coming = asyncio.create_task(_next(items))
        try:
            while found := await coming:
                coming = asyncio.create_task(_next(items))
                yield found[0]
        finally:
            coming.cancel()
            # A cancelled scope cancels each wait again; a generator that is still running cannot be closed.
            with CancelScope(shield=True):
                await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()  # already raised, or irrelevant after a disconnect


async def _next(items: AsyncIterator[_Item]) -> tuple[_Item] | None:
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
