"""Translation of ccxt's errors to our error tree; the results are still ccxt's errors, too."""

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
_SHORT = 4
"""Length in characters below which a secret may be part of an ordinary word."""

# By ccxt's name of the error; for subclasses, the first match in the method resolution order.
_OURS: Mapping[str, tuple[type[ChandleryError], str]] = {
    "AuthenticationError": (AuthenticationFailed, "check the key, its secret and its password"),
    "PermissionDenied": (AuthenticationFailed, "check what the key is allowed to do, and from which addresses"),
    "AccountSuspended": (AuthenticationFailed, "ask the exchange"),
    "InvalidNonce": (RequestRejected, "correct this machine's clock"),
    "ChecksumError": (MalformedResponse, "try again"),
    "RateLimitExceeded": (RateLimited, "wait, and use throttled_call or a longer request_pause"),
    "DDoSProtection": (RateLimited, "wait, and use throttled_call or a longer request_pause"),
    "RequestTimeout": (RequestTimeout, "try again, or another exchange"),
    "OnMaintenance": (ExchangeUnavailable, "try again later, or another exchange"),
    "NetworkError": (ExchangeUnavailable, "try again, or another exchange"),
    "BadResponse": (MalformedResponse, "try again"),
    "OperationFailed": (ExchangeUnavailable, "try again, or another exchange"),
    "BadSymbol": (InvalidSymbol, "see exchange.markets for the listed symbols"),
    "NotSupported": (UnsupportedRequest, "see exchange.has for the supported features"),
    "ArgumentsRequired": (InvalidInput, "pass the missing argument"),
    "ExchangeClosedByUser": (Closed, "connect again"),
    "OrderNotFound": (NotFound, "check the order's id"),
    "BaseError": (RequestRejected, "see the exchange's error text"),
}


def is_ccxt_error(error: BaseException) -> bool:
    """Return whether an error is ccxt's, and not translated yet."""
    return not isinstance(error, ChandleryError) and any(each.__name__ == "BaseError" for each in type(error).__mro__)


def translated(error: BaseException, exchange: Any) -> ChandleryError:
    """
    Translate an error of ccxt; ``except ccxt.…`` still catches the result.

    The message is ccxt's with advice, but without the query strings of URLs and the keys of ``exchange``, which ccxt's
    may contain. An error that is not ccxt's own comes from a response that ccxt could not parse. Raise the result after
    the ``except`` block, so that its context holds no secrets.
    """
    name = type(error).__name__
    text = without_secrets(str(error), _secrets(exchange))
    if not is_ccxt_error(error):
        return MalformedResponse(f"{exchange.id}: ccxt could not parse the response ({name}: {text}); try again")
    kind: Any = type(error)
    ours: Any
    ours, advice = next(_OURS[each.__name__] for each in kind.__mro__ if each.__name__ in _OURS)
    return _both(ours, kind)(f"{text} ({name}); {advice}")


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """
    Remove the query strings of URLs and all ``secrets`` from a text, and truncate it.

    A secret of up to three characters is removed as a word only: it may be part of any other.
    """
    text = _QUERY.sub(r"\1://\2", text)
    for secret in secrets:
        if len(secret) < _SHORT:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
        else:
            text = text.replace(secret, "***")
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]}…"


def _secrets(exchange: Any) -> list[str]:
    named = (getattr(exchange, name, None) for name in ("apiKey", "secret", "password", "uid", "token", "privateKey"))
    return [each for each in named if each]


@cache
def _both(ours: Any, theirs: Any) -> type[ChandleryError]:
    """Return a class that is both errors, named as ours; pickled it is only ours, since the reader may lack ccxt."""

    def reduce(self: ChandleryError) -> tuple[type[ChandleryError], tuple[Any, ...]]:
        return ours, self.args

    members = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__reduce__": reduce}
    return type(ours.__name__, (ours, theirs), members)
