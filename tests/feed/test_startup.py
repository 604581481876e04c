"""What a stream waits for until it is there."""

from __future__ import annotations

from chandlery.core.errors import ExchangeUnavailable, NotFound
from chandlery.feed.startup import Startup


def test_an_obstacle_is_remembered_and_waited_for():
    """The latest is; nothing has failed for good."""
    begun = []
    stream = Startup(lambda: begun.append(True))
    first, second = ExchangeUnavailable("no such host"), KeyError("ours")
    stream.note_delay(first)
    stream.note_delay(second)

    assert (second, None, False, []) == (stream.obstacle, stream.failure, stream.began, begun)


def test_a_final_refusal_fails_it_once():
    """Where it may fail by that, and has not begun."""
    begun = []
    stream = Startup(lambda: begun.append(True))
    error = NotFound("404", status=404)
    stream.note_delay(error, may_fail=False)
    assert (None, False) == (stream.failure, stream.began)
    stream.note_delay(error)
    stream.note_delay(error)

    assert (error, True, [True]) == (stream.failure, stream.began, begun)


def test_what_has_begun_fails_no_more():
    """The exchange is asked again, whatever it refuses meanwhile."""
    stream = Startup(lambda: None)
    stream.began = True
    stream.note_delay(NotFound("404", status=404))

    assert stream.failure is None
