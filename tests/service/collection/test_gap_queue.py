"""Gaps of a stream: one outage is one that grows, published seldom, stored once there is room."""

from __future__ import annotations

import pytest

from chandlery.core.errors import StorageFull
from chandlery.core.gaps import Gap, GapKind
from chandlery.service.collection.gap_queue import GapQueue


def gap(start, end, evidence="x"):
    """One of an order book."""
    return Gap(start, end, GapKind.NOT_COLLECTED, evidence)


@pytest.fixture
def told():
    """What was published."""
    return []


@pytest.fixture
def queue(told):
    """One without gaps."""
    return GapQueue(told.append)


async def stored(queue):
    """What it has stored now."""
    found = []

    async def store(each, _):
        found.append(each)

    await queue.store(store)
    return found


async def test_an_outage_is_one_gap_that_grows(queue, told):
    """Of a thousand parts few are published, the last of them whole; it is stored as it is when it is stored."""
    for at in range(1000):
        queue.extend(gap(at, at + 1, f"for {at} s"))
    queue.over()

    assert 1 == queue.count
    assert [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000] == [each.end for each in told]
    assert [gap(0, 1000, "for 0 s")] == await stored(queue)
    assert not queue


async def test_it_is_stored_again_when_it_has_grown(queue):
    """In place of what it was."""
    queue.extend(gap(5, 6))
    assert [gap(5, 6)] == await stored(queue)
    queue.extend(gap(4, 6))
    queue.extend(gap(6, 7))
    assert [gap(4, 7)] == await stored(queue)
    assert [] == await stored(queue)


async def test_what_does_not_touch_is_another_one(queue, told):
    """So is what comes after an outage is over, and each gap that is whole."""
    queue.extend(gap(0, 1))
    queue.extend(gap(5, 6))
    queue.over()
    queue.extend(gap(6, 7))
    queue.add(gap(7, 8), 10)
    queue.add(gap(9, 9))
    queue.extend(gap(9, 8))

    assert 4 == queue.count
    assert [gap(0, 1), gap(5, 6), gap(6, 7), gap(7, 8)] == told == await stored(queue)


async def test_what_cannot_be_stored_is_tried_again(queue, told):
    """Nothing is lost, nothing is published twice."""
    room = False
    found = []

    async def store(each, _):
        if not room:
            raise StorageFull("no room")
        found.append(each)

    queue.add(gap(0, 1))
    for at in range(2, 4):
        queue.extend(gap(at, at + 1))
        with pytest.raises(StorageFull):
            await queue.store(store)
    room = True
    await queue.store(store)

    assert [gap(0, 1), gap(2, 4)] == found
    assert 3 == len(told)


async def test_one_that_grows_while_it_is_stored_is_stored_again(queue):
    """With its new end."""
    found = []

    async def store(each, _):
        found.append(each)
        if len(found) == 1:
            queue.extend(gap(1, 2))

    queue.extend(gap(0, 1))
    await queue.store(store)

    assert [gap(0, 1), gap(0, 2)] == found
