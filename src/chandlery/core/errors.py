"""The error hierarchy.

::

    ChandleryError
    ├── InvalidInput                the request of the caller is invalid
    │   ├── InvalidSymbol
    │   │   └── WrongMarket         a symbol of another market
    │   ├── InvalidRange
    │   ├── UnknownInterval
    │   ├── UnsupportedRequest      this exchange, market or source cannot answer it
    │   ├── ForkedProcess           a forked child cannot use what its parent has started
    │   ├── UnknownName             no exchange, provider, chart type or client of that name
    │   └── MissingCredentials      an account is required, and no keys are configured
    ├── ExchangeError               an exchange, or the network to it, failed
    │   ├── ExchangeUnavailable     retryable: refused, reset, cut off, 5xx
    │   │   └── RequestTimeout      retryable
    │   ├── RateLimited             retryable: 429, carries retry_after_s
    │   │   └── AddressBanned       retryable: 418
    │   ├── MalformedResponse       retryable: the body does not match the documentation
    │   ├── ResponseTooLarge
    │   ├── CertificateRejected     the certificate of the exchange, or of a proxy, is not trusted
    │   └── RequestRejected         the exchange understood the request and refused it
    │       ├── NotFound            404: no such file or resource
    │       ├── ProxyRefused        the proxy refused the request
    │       └── AuthenticationFailed    the keys are wrong, or lack the permission
    ├── ArchiveError
    │   ├── ChecksumMismatch        retryable: the file is not the one its checksum describes
    │   └── CorruptArchive          retryable: not a zip of one CSV of candles
    ├── CacheError
    │   └── CorruptCacheFile
    ├── StorageError                a database operation failed
    │   ├── StorageUnavailable      retryable: it cannot be opened, read or written at present
    │   │   ├── StorageFull         retryable: no space is left
    │   │   └── StorageBusy         retryable: locked, or the write queue is full
    │   ├── CorruptStorage          the file, or an entry in it, is damaged
    │   └── UnknownSchema           the file was written by a newer program, or by another one
    ├── AccessDenied                the caller is not allowed to do that
    │   ├── InvalidToken            no token, or an invalid one
    │   │   └── TokenExpired
    │   ├── InsufficientScope       the token lacks the scope
    │   └── LoginFailed             wrong name or secret
    │       └── TooManyLogins       retryable: carries retry_after_s
    ├── Overloaded                  retryable: too many requests in progress, carries retry_after_s
    ├── TooMuchAtOnce               retryable: more concurrent heavy requests than a caller may have, carries retry_after_s
    ├── IncompleteData              part of the range could not be fetched; carries the rest
    ├── MissingDependency           an optional extra is not installed
    ├── CloseFailed                 something failed to close; everything else was closed
    └── Closed                      used after it was closed

``retryable`` is a class attribute: whether the same call may succeed on a retry.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chandlery.core.gaps import Gap


class ChandleryError(Exception):
    """The base class of every error that chandlery raises."""

    retryable = False


class InvalidInput(ChandleryError):
    """The request of the caller is invalid."""


class InvalidSymbol(InvalidInput):
    """Not a symbol of that market."""


class WrongMarket(InvalidSymbol):
    """A symbol of another market, e.g. of a perpetual where spot is traded."""


def suggests(error: InvalidSymbol) -> bool:
    """Return whether the message of an error names a symbol that the caller may mean."""
    return "did you mean" in str(error)


def suggest(error: InvalidSymbol, symbol: str | None) -> None:
    """Add a symbol that the caller may mean to the message of an error, unless it has one."""
    if symbol is not None and not suggests(error):
        error.args = (f"{error}; did you mean {symbol}?",)


class InvalidRange(InvalidInput):
    """The times do not form a valid range."""


class UnknownInterval(InvalidInput):
    """Not an interval."""


class UnsupportedRequest(InvalidInput):
    """This exchange, market or source does not support the request; the message lists what is supported."""


class UnknownName(InvalidInput):
    """The name is not registered; the message lists the registered ones."""


class ForkedProcess(InvalidInput):
    """A forked process cannot use what its parent has started; the message says which start method to use."""


class MissingCredentials(InvalidInput):
    """An account is required, and no keys are configured; the message says where they are read from."""


class ExchangeError(ChandleryError):
    """An exchange, or the network to it, failed."""


class ExchangeUnavailable(ExchangeError):
    """Connection refused, reset or cut off, or a 5xx answer."""

    retryable = True


class RequestTimeout(ExchangeUnavailable):
    """No complete answer within the time-out."""


class RateLimited(ExchangeError):
    """The exchange asks for a pause (HTTP 429)."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Store the delay that the exchange requested; ``None`` if it named none."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AddressBanned(RateLimited):
    """This address is banned for a while (HTTP 418)."""


class MalformedResponse(ExchangeError):
    """The body does not match the exchange's documentation."""

    retryable = True


class ResponseTooLarge(ExchangeError):
    """The body exceeds the size cap."""


class CertificateRejected(ExchangeError):
    """The certificate of the exchange, or of a proxy, is not trusted; a retry does not help."""


class RequestRejected(ExchangeError):
    """The exchange understood the request and refused it."""

    def __init__(self, message: str, *, status: int | None = None, code: int | str | None = None) -> None:
        """Store the HTTP status and the exchange's own error code."""
        super().__init__(message)
        self.status = status
        self.code = code


class ProxyRefused(RequestRejected):
    """The proxy requires other credentials (407), or refuses to connect to that host."""


class NotFound(RequestRejected):
    """No such file or resource (HTTP 404)."""


class AuthenticationFailed(RequestRejected):
    """The keys are wrong, or lack the permission."""


class ArchiveError(ChandleryError):
    """A file of an exchange's archive cannot be used."""


class ChecksumMismatch(ArchiveError):
    """The file is not the one that its checksum describes."""

    retryable = True


class CorruptArchive(ArchiveError):
    """Not a zip file with a single CSV of candles."""

    retryable = True


class CacheError(ChandleryError):
    """The cache folder cannot be used."""


class CorruptCacheFile(CacheError):
    """A cache file is damaged or cut short."""


class StorageError(ChandleryError):
    """A database operation failed; nothing of it was written."""


class StorageUnavailable(StorageError):
    """The database cannot be opened, read or written at present."""

    retryable = True


class StorageFull(StorageUnavailable):
    """There is no space left for the database."""


class StorageBusy(StorageUnavailable):
    """The database is locked by another process, or its write queue is full."""


class CorruptStorage(StorageError):
    """The file, or an entry in it, is damaged."""


class UnknownSchema(StorageError):
    """The file was written by a newer program, or by another one."""


class AccessDenied(ChandleryError):
    """The caller is not allowed to do that."""


class InvalidToken(AccessDenied):
    """The token is missing or invalid."""


class TokenExpired(InvalidToken):
    """The token has expired."""


class InsufficientScope(AccessDenied):
    """The token lacks the scope; ``scope`` is the required one."""

    def __init__(self, message: str, *, scope: str) -> None:
        """Store the required scope."""
        super().__init__(message)
        self.scope = scope

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), scope=self.scope), self.args


class LoginFailed(AccessDenied):
    """Wrong name or secret."""


class TooManyLogins(LoginFailed):
    """Too many logins failed."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Store the delay until the next attempt is allowed."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class Overloaded(ChandleryError):
    """Too many requests are in progress; the same request may succeed after ``retry_after_s``."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Store the delay before a retry."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class TooMuchAtOnce(ChandleryError):
    """More concurrent heavy requests than a caller may have."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Store the delay before a retry."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class IncompleteData(ChandleryError):
    """
    Part of the range could not be fetched.

    ``data`` is the fetched part, in the requested output form; ``missing`` the gaps that
    failures left, oldest first; ``__cause__`` the first failure.
    """

    def __init__(self, message: str, *, data: Any, missing: Sequence[Gap]) -> None:
        """Store the fetched part and the gaps."""
        super().__init__(message)
        self.data = data
        self.missing = tuple(missing)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), data=self.data, missing=self.missing), self.args


class MissingDependency(ChandleryError):
    """An optional extra is not installed; the message is the command to install it."""


class CloseFailed(ChandleryError):
    """Something failed to close; everything else was closed. ``failures`` are the errors by name."""

    def __init__(self, message: str, *, failures: Mapping[str, BaseException]) -> None:
        """Store the failures."""
        super().__init__(message)
        self.failures = dict(failures)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword arguments."""
        return partial(type(self), failures=self.failures), self.args


class Closed(ChandleryError):
    """Used after it was closed."""
