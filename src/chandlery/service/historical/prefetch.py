"""Reading while what was read before is sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar

from anyio import CancelScope

_Item = TypeVar("_Item")


async def prefetch(items: AsyncGenerator[_Item, None]) -> AsyncGenerator[_Item, None]:
    """The same items, the next one of which is fetched while the caller works on the one before; closes them."""
    async with aclosing(items):
        coming = asyncio.create_task(_next(items))
        try:
            while found := await coming:
                coming = asyncio.create_task(_next(items))
                yield found[0]
        finally:
            coming.cancel()
            # A scope that is cancelled cancels each wait anew; items that are still read cannot be closed.
            with CancelScope(shield=True):
                await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()  # has been raised, or concerns nobody who went before it


async def _next(items: AsyncIterator[_Item]) -> tuple[_Item] | None:
    try:
        return (await anext(items),)
    except StopAsyncIteration:
        return None
