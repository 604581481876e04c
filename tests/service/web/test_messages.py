"""What clients say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import InvalidInput
from chandlery.service.web.messages import Auth, Ping, RequestHistorical, Subscribe, id_of, parsed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def test_messages():
    """By their type, with defaults."""
    coin = {"exchange": "binance", "symbol": "BTC/USDT"}

    assert Auth("x", id=7) == parsed('{"type": "auth", "token": "x", "id": 7}')
    assert Ping() == parsed('{"type": "ping"}')
    assert Subscribe("book", **coin) == parsed(json.dumps({"type": "subscribe", "channel": "book", **coin}))
    assert RequestHistorical(**coin, start=5) == parsed(json.dumps({"type": "request_historical", "start": 5, **coin}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a message"),
        ("[]", "object"),
        ('{"type": "dance"}', "dance"),
        ('{"type": "auth"}', "token"),
        ('{"type": "ping", "colour": 1}', "colour"),
        ("[" * 100_000, "not a message"),
    ],
)
def test_what_is_none_says_what_is_wrong(text, said):
    """So that its author can mend it."""
    with pytest.raises(InvalidInput, match=said):
        parsed(text)


@given(JSON.map(json.dumps) | st.text(max_size=50))
def test_anything_is_a_message_or_an_error_of_ours(text):
    """Nothing else comes out, and an id is found or not."""
    try:
        parsed(text)
    except InvalidInput:
        assert isinstance(id_of(text), str | int | None)


def test_the_id_of_a_broken_message():
    """Is found where there is one."""
    assert 5 == id_of('{"type": "dance", "id": 5}')
    assert None is id_of("{")
