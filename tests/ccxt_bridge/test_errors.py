"""Ccxt's errors as ours."""

from __future__ import annotations

import pickle

import ccxt
import pytest

from chandlery.ccxt_bridge.errors import is_ccxt_error, translated, without_secrets
from chandlery.core import errors


def all_of(kind):
    """An error class and all below it."""
    return [kind, *(each for below in kind.__subclasses__() for each in all_of(below))]


class Account:
    """What is known of an exchange."""

    id = "acme"
    apiKey = "hunter2key"  # noqa: N815  # as ccxt spells it
    secret, password, uid = "hunter2secret", "hunter2pass", ""


@pytest.mark.parametrize(
    "kind",
    [each for each in all_of(ccxt.BaseError) if each.__module__.startswith("ccxt")],
    ids=lambda kind: kind.__name__,
)
def test_each_is_ours_and_remains_ccxt_s(kind):
    """Every error of ccxt's becomes one of the tree, which ``except ccxt.…`` still catches, and which says what to do."""
    error = translated(kind("acme says no"), Account())

    assert isinstance(error, errors.ChandleryError)
    assert isinstance(error, kind)
    assert str(error).startswith(f"acme says no ({kind.__name__}); ")
    assert not is_ccxt_error(error), "once is enough"


@pytest.mark.parametrize(
    ("theirs", "ours", "retryable"),
    [
        (ccxt.AuthenticationError, errors.AuthenticationFailed, False),
        (ccxt.PermissionDenied, errors.AuthenticationFailed, False),
        (ccxt.NetworkError, errors.ExchangeUnavailable, True),
        (ccxt.RequestTimeout, errors.RequestTimeout, True),
        (ccxt.ExchangeNotAvailable, errors.ExchangeUnavailable, True),
        (ccxt.OnMaintenance, errors.ExchangeUnavailable, True),
        (ccxt.RateLimitExceeded, errors.RateLimited, True),
        (ccxt.DDoSProtection, errors.RateLimited, True),
        (ccxt.BadSymbol, errors.InvalidSymbol, False),
        (ccxt.NotSupported, errors.UnsupportedRequest, False),
        (ccxt.BadResponse, errors.MalformedResponse, True),
        (ccxt.InvalidNonce, errors.RequestRejected, False),
        (ccxt.InsufficientFunds, errors.RequestRejected, False),
        (ccxt.ExchangeError, errors.RequestRejected, False),
    ],
)
def test_which_becomes_which(theirs, ours, retryable):
    """Whether the same call may succeed a moment later is kept."""
    error = translated(theirs("no"), Account())

    assert isinstance(error, ours)
    assert retryable is error.retryable


def test_what_ccxt_could_not_read():
    """A stumble of ccxt's own code over an answer is a malformed answer."""
    error = translated(KeyError("data"), Account())

    assert isinstance(error, errors.MalformedResponse)
    assert "acme: ccxt could not parse the response" in str(error)


def test_no_secret_and_no_query_is_left():
    """Neither keys, nor the queries of addresses, in which signatures stand, are part of a message; it is one of bounded length."""
    said = "acme GET https://api.acme.com/x?apiKey=hunter2key&signature=abc {'key': 'hunter2key', 'p': 'hunter2pass'} hunter2secret"
    text = str(translated(ccxt.ExchangeError(said + "x" * 10_000), Account()))

    assert "hunter2" not in text
    assert "signature" not in text
    assert "https://api.acme.com/x" in text
    assert len(text) < 700


def test_text_without_secrets_stays():
    """What holds nothing secret is not touched."""
    assert "all is well at wss://a.b/c" == without_secrets("all is well at wss://a.b/c", ["hunter2"])


def test_it_pickles_as_ours():
    """Another process need not have ccxt: what arrives there is ours alone."""
    error = pickle.loads(pickle.dumps(translated(ccxt.NetworkError("cut"), Account())))

    assert errors.ExchangeUnavailable is type(error)
    assert "cut (NetworkError)" in str(error)


def test_short_secrets_are_removed_as_words_only():
    """A key of a character would otherwise be cut out of every word."""
    assert "invalid key ***: a key is needed" == without_secrets("invalid key k: a key is needed", ["k"])
    assert "invalid *** here" == without_secrets("invalid longer here", ["longer"])
