"""A disk without room, for one database."""

from __future__ import annotations


async def without_room(database):
    """Let its file grow no more. The writer does it: a connection belongs to one thread at a time."""
    ((pages,),) = await database.read("PRAGMA page_count")
    await database.write((f"PRAGMA max_page_count = {pages}", [()]))


async def with_room(database):
    """Let it grow again."""
    await database.write(("PRAGMA max_page_count = 1000000", [()]))
