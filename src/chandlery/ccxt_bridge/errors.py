"""The errors of ccxt as errors of the one tree, which remain ccxt's as well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from chandlery.core.errors import (
    AuthenticationFailed,
    ChandleryError,
    Closed,
    ExchangeUnavailable,
    InvalidInput,
    InvalidSymbol,
    MalformedResponse,
    NotFound,
    RateLimited,
    RequestRejected,
    RequestTimeout,
    UnsupportedRequest,
)

_QUERY = re.compile(r"(https?|wss?)://([^\s?]*)\?\S*")
_MOST_TEXT = 500

# By ccxt's own name of the error; of those that an error is, the first in its method resolution order counts.
_OURS: Mapping[str, tuple[type[ChandleryError], str]] = {
    "AuthenticationError": (AuthenticationFailed, "check the key, its secret and its password"),
    "PermissionDenied": (AuthenticationFailed, "check what the key is allowed to do, and from which addresses"),
    "AccountSuspended": (AuthenticationFailed, "ask the exchange"),
    "InvalidNonce": (RequestRejected, "set this machine's clock right"),
    "ChecksumError": (MalformedResponse, "try again"),
    "RateLimitExceeded": (RateLimited, "wait, and use throttled_call or a longer request_pause"),
    "DDoSProtection": (RateLimited, "wait, and use throttled_call or a longer request_pause"),
    "RequestTimeout": (RequestTimeout, "try again, or another exchange"),
    "OnMaintenance": (ExchangeUnavailable, "try again later, or another exchange"),
    "NetworkError": (ExchangeUnavailable, "try again, or another exchange"),
    "BadResponse": (MalformedResponse, "try again"),
    "OperationFailed": (ExchangeUnavailable, "try again, or another exchange"),
    "BadSymbol": (InvalidSymbol, "see the exchange's markets for what it lists"),
    "NotSupported": (UnsupportedRequest, "see the exchange's 'has' for what it can do"),
    "ArgumentsRequired": (InvalidInput, "give what is named"),
    "ExchangeClosedByUser": (Closed, "connect again"),
    "OrderNotFound": (NotFound, "check the order's id"),
    "BaseError": (RequestRejected, "see what the exchange says"),
}


def is_ccxt_error(error: BaseException) -> bool:
    """Whether it is an error of ccxt's, and none that was translated already."""
    return not isinstance(error, ChandleryError) and any(each.__name__ == "BaseError" for each in type(error).__mro__)


def translated(error: BaseException, exchange: Any) -> ChandleryError:
    """
    The error of the one tree for one that ccxt has raised; ``except ccxt.…`` catches it as before.

    Its message is ccxt's with what to do next, without the queries of addresses and without the keys
    of ``exchange``, both of which ccxt's may hold. What is no error of ccxt's stems from an answer
    that ccxt could not read. It is to be raised after the ``except`` block, so that what holds
    secrets is no context of it.
    """
    name = type(error).__name__
    text = without_secrets(str(error), _secrets(exchange))
    if not is_ccxt_error(error):
        return MalformedResponse(f"{exchange.id}: ccxt could not read the answer ({name}: {text}); try again")
    kind: Any = type(error)
    ours: Any
    ours, advice = next(_OURS[each.__name__] for each in kind.__mro__ if each.__name__ in _OURS)
    return _both(ours, kind)(f"{text} ({name}); {advice}")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """A text without the queries of the addresses in it, nor any of ``secrets``; long ones are cut."""
    text = _QUERY.sub(r"\1://\2", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


def _secrets(exchange: Any) -> list[str]:
    named = (getattr(exchange, name, None) for name in ("apiKey", "secret", "password", "uid", "token", "privateKey"))
    return [each for each in named if each]


@cache
def _both(ours: Any, theirs: Any) -> type[ChandleryError]:
    """A class that is both, named as ours; pickled it is ours alone, for the other side need not have ccxt."""

    def reduce(self: ChandleryError) -> tuple[type[ChandleryError], tuple[Any, ...]]:
        return ours, self.args

    members = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__reduce__": reduce}
    return type(ours.__name__, (ours, theirs), members)
