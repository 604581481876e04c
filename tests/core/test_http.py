"""What is sent and what comes back are plain values."""

from __future__ import annotations

import pytest

from chandlery.core.http import AccessToken, RateLimit, Request, Response


def test_a_request_is_a_get_of_weight_one_unless_it_says_otherwise():
    """The defaults are those of most requests."""
    request = Request("https://exchange.example/time")

    assert ("GET", None, 1, ()) == (request.method, request.body, request.weight, request.limits)
    assert ({}, {}) == (request.params, request.headers)


@pytest.mark.parametrize(
    "value", [Request("u"), RateLimit(1, 60), Response(200, {}, b"")], ids=lambda value: type(value).__name__
)
def test_values_cannot_be_altered(value):
    """They may be shared between tasks and threads."""
    with pytest.raises(AttributeError):
        setattr(value, value.__struct_fields__[0], None)


def test_what_may_be_secret_is_not_shown():
    """Of requests neither query nor headers nor body, of tokens nothing but how long they live."""
    request = Request("https://x/y", {"key": "secret"}, {"Authorization": "secret"}, method="POST", body=b"secret")

    assert "Request(POST https://x/y)" == repr(request) == str(request)
    assert "AccessToken(for 1200 s)" == repr(AccessToken("secret", 1200, {"refresh_token": "secret"}))
