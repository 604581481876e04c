"""What a token allows."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InsufficientScope, TokenExpired
from chandlery.service.auth.interfaces import EverybodyMay, Subject


def test_scopes():
    """Those of the token; an administrator may everything."""
    reader = Subject("a", "a", frozenset({"read"}), "us")
    reader.require("read")
    with pytest.raises(InsufficientScope, match="needs the scope collect; the token allows read") as caught:
        reader.require("collect")
    assert "collect" == caught.value.scope
    Subject("a", "a", frozenset({"admin"}), "us").require("collect")


def test_expiry():
    """At the moment itself it is over; without one, never."""
    subject = Subject("a", "a", frozenset(), "us", expires_at=10)
    subject.still_valid(9)
    with pytest.raises(TokenExpired):
        subject.still_valid(10)
    Subject("a", "a", frozenset(), "us").still_valid(2**60)


async def test_everybody_may():
    """With any token, and with none."""
    for token in (None, "x"):
        (await EverybodyMay().validate_token(token)).require("admin")
