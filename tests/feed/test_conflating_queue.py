"""What a reader has not taken out yet."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.candle import CandleData
from chandlery.feed.conflating_queue import ConflatingQueue
from chandlery.feed.events import Connected, Dropped


def candle(opened, close=1.0, *, closed=False):
    return CandleData(opened, 1.0, 9.0, 0.0, close, 1.0, closed=closed)


async def taken(queue):
    """All that is there."""
    queue.close()
    return [update async for update in queue]


updates = st.one_of(
    st.builds(candle, st.integers(0, 2), st.floats(0, 9), closed=st.booleans()), st.builds(Connected, st.integers(1, 9))
)


@given(st.lists(st.one_of(updates, st.none()), max_size=60), st.integers(1, 8))
def test_as_a_list_of_limited_length(steps, size):
    """A running candle gives way to the next of its open right after it; else all are kept, and the oldest dropped are told."""

    async def play():
        queue, model, lost, dropped, found, expected = ConflatingQueue(size), [], 0, 0, [], []
        for step in steps:
            if step is not None:
                last = model[-1] if model else None
                running = isinstance(last, CandleData) and not last.closed and isinstance(step, CandleData)
                if running and last.open_time == step.open_time:
                    model[-1] = step
                elif len(model) == size:
                    model = [*model[1:], step]
                    lost += 1
                else:
                    model.append(step)
                dropped += not queue.put(step)
            elif model or lost:
                expected.append(Dropped(lost) if lost else model.pop(0))
                total, lost = lost, 0
                found.append(await queue.get())
                assert total == 0 or found[-1] == Dropped(total)
            assert len(queue) == len(model) <= size
        expected += [*([Dropped(lost)] if lost else []), *model]
        found += await taken(queue)
        assert expected == found
        assert dropped == sum(each.count for each in found if isinstance(each, Dropped))

    asyncio.run(play())


async def test_a_closed_candle_does_not_give_way():
    """Only a running one does."""
    queue = ConflatingQueue(9)
    for update in (candle(0, closed=True), candle(0), candle(0, 2.0), candle(0, 2.0, closed=True), candle(0)):
        queue.put(update)

    assert [candle(0, closed=True), candle(0, 2.0, closed=True), candle(0)] == await taken(queue)


async def test_a_block_is_one_step():
    """Its updates follow in order; without room the oldest are dropped, and ``Dropped`` comes before the rest."""
    queue = ConflatingQueue(4)
    queue.put(Connected(0))
    assert 0 == queue.put_all([candle(each, closed=True) for each in (1, 2)])
    assert [Connected(0), candle(1, closed=True), candle(2, closed=True)] == await queue.get_all()
    assert 2 == queue.put_all([Connected(each) for each in range(6)])
    assert [Dropped(2), *map(Connected, range(2, 6))] == queue.drain()
    assert [] == queue.drain()
    queue.close()
    assert 0 == queue.put_all([Connected(9)])
    assert [] == await queue.get_all()


async def test_waits_for_the_next():
    """A reader that is early gets what comes, and the end."""
    queue = ConflatingQueue(9)
    reading = asyncio.create_task(taken_later(queue))
    for number in range(3):
        await asyncio.sleep(0)
        queue.put(Connected(number))
    await asyncio.sleep(0)
    queue.close()

    assert [Connected(0), Connected(1), Connected(2)] == await reading
    assert await queue.get() is None
    with pytest.raises(StopAsyncIteration):
        await anext(queue)


async def taken_later(queue):
    return [update async for update in queue]
