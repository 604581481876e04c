"""What errors are to callers."""

from __future__ import annotations

import pytest

from chandlery.core import errors as tree
from chandlery.core.errors import ChandleryError, IncompleteData, InsufficientScope, InvalidToken, RateLimited
from chandlery.service.errors import challenge, code_of, headers_of, status_of

EXPECTED = {
    "InvalidInput": 422,
    "UnknownName": 404,
    "InvalidSymbol": 422,
    "UnsupportedRequest": 422,
    "InvalidToken": 401,
    "TokenExpired": 401,
    "InsufficientScope": 403,
    "LoginFailed": 401,
    "TooManyLogins": 429,
    "ExchangeUnavailable": 502,
    "RequestTimeout": 504,
    "RateLimited": 503,
    "AddressBanned": 503,
    "IncompleteData": 502,
    "Overloaded": 503,
    "StorageFull": 503,
    "StorageError": 500,
    "CacheError": 500,
    "ChandleryError": 500,
    "Closed": 503,
}


@pytest.mark.parametrize(("name", "status"), EXPECTED.items())
def test_status(name, status):
    """What the caller can mend is 4xx, what the exchange did is 502 to 504, what we did is 5xx."""
    error = getattr(tree, name).__new__(getattr(tree, name))

    assert status == status_of(error)
    assert isinstance(error, ChandleryError)


def test_codes_are_names():
    """For programs."""
    assert "rate_limited" == code_of(RateLimited("x"))
    assert "incomplete_data" == code_of(IncompleteData("x", data=None, missing=[]))


def test_how_to_go_on():
    """The challenge, or the pause; and nothing that breaks a header."""
    url = "http://x/meta"

    assert {"Retry-After": "3"} == headers_of(RateLimited("x", retry_after_s=2.1), url)
    assert {} == headers_of(RateLimited("x"), url)
    assert f'Bearer resource_metadata="{url}"' == challenge(InvalidToken("a token is needed: x"), url)
    said = challenge(InvalidToken('bad "one"\r\nSet-Cookie: x'), url)
    assert "error_description=\"bad 'one'''Set-Cookie: x\"" in said
    assert 'scope="collect"' in challenge(InsufficientScope("x", scope="collect"), url)
