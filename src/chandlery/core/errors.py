"""The one error tree.

::

    ChandleryError
    ├── InvalidInput                what the caller asked for cannot be answered as asked
    │   ├── InvalidSymbol
    │   │   └── WrongMarket         a symbol of another market
    │   ├── InvalidRange
    │   ├── UnknownInterval
    │   ├── UnsupportedRequest      this exchange, market or source cannot answer it
    │   ├── ForkedProcess           a parent has begun it, and a forked child cannot go on with it
    │   ├── UnknownName             no exchange, provider, chart type or client of that name
    │   └── MissingCredentials      an account is needed, and there are no keys
    ├── ExchangeError               an exchange, or the way to it, failed
    │   ├── ExchangeUnavailable     retryable: refused, reset, cut off, 5xx
    │   │   └── RequestTimeout      retryable
    │   ├── RateLimited             retryable: 429, carries retry_after_s
    │   │   └── AddressBanned       retryable: 418
    │   ├── MalformedResponse       retryable: the body is not what the documentation says
    │   ├── ResponseTooLarge
    │   ├── CertificateRejected     the certificate of the exchange, or of a proxy, is not to be trusted
    │   └── RequestRejected         the exchange understood and said no
    │       ├── NotFound            404: no such file or resource
    │       ├── ProxyRefused        the proxy said no
    │       └── AuthenticationFailed    the keys are wrong, or not allowed to do that
    ├── ArchiveError
    │   ├── ChecksumMismatch        retryable: the file is not the one its checksum describes
    │   └── CorruptArchive          retryable: not a zip of one CSV of candles
    ├── CacheError
    │   └── CorruptCacheFile
    ├── StorageError                the database did not do what it was asked
    │   ├── StorageUnavailable      retryable: it cannot be opened, read or written now
    │   │   ├── StorageFull         retryable: no space is left
    │   │   └── StorageBusy         retryable: locked, or more waits to be written than may
    │   ├── CorruptStorage          the file, or an entry in it, is damaged
    │   └── UnknownSchema           the file is of a newer program, or of another one
    ├── AccessDenied                the service does not let the caller do that
    │   ├── InvalidToken            no token, or none that is to be trusted
    │   │   └── TokenExpired
    │   ├── InsufficientScope       the token does not allow it
    │   └── LoginFailed             name and secret do not belong together
    │       └── TooManyLogins       retryable: carries retry_after_s
    ├── Overloaded                  retryable: too much is under way, carries retry_after_s
    ├── TooMuchAtOnce               retryable: more heavy requests of a caller than are done at once, carries retry_after_s
    ├── IncompleteData              part of the range could not be had; carries the rest
    ├── MissingDependency           an optional extra is not installed
    ├── CloseFailed                 something did not close as it should; everything else did
    └── Closed                      used after it was closed

``retryable`` is a class attribute: it says whether the same call may succeed a moment later.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chandlery.core.gaps import Gap


class ChandleryError(Exception):
    """The base of every error that chandlery raises."""

    retryable = False


class InvalidInput(ChandleryError):
    """What the caller asked for cannot be answered as asked."""


class InvalidSymbol(InvalidInput):
    """Not a symbol of that market."""


class WrongMarket(InvalidSymbol):
    """A symbol of another market, e.g. of a perpetual where spot is traded."""


class InvalidRange(InvalidInput):
    """The moments do not make a range that can be served."""


class UnknownInterval(InvalidInput):
    """Not an interval."""


class UnsupportedRequest(InvalidInput):
    """This exchange, market or source cannot answer it; the message names what can be had."""


class UnknownName(InvalidInput):
    """Nothing is registered under that name; the message lists what is."""


class ForkedProcess(InvalidInput):
    """This process was forked from one that had begun what it cannot go on with; the message says how to start it."""


class MissingCredentials(InvalidInput):
    """An account is needed, and there are no keys; the message says where they are looked for."""


class ExchangeError(ChandleryError):
    """An exchange, or the way to it, failed."""


class ExchangeUnavailable(ExchangeError):
    """Refused, reset, cut off, or a 5xx answer."""

    retryable = True


class RequestTimeout(ExchangeUnavailable):
    """No full answer within the time-out."""


class RateLimited(ExchangeError):
    """The exchange asks for a pause (HTTP 429)."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        """Keep the pause that the exchange named; ``None`` where it named none."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class AddressBanned(RateLimited):
    """This address is banned for a while (HTTP 418)."""


class MalformedResponse(ExchangeError):
    """The body is not what the exchange's documentation says."""

    retryable = True


class ResponseTooLarge(ExchangeError):
    """The body exceeds the size cap."""


class CertificateRejected(ExchangeError):
    """The certificate of the exchange, or of a proxy, is not to be trusted; trying again would not change it."""


class RequestRejected(ExchangeError):
    """The exchange understood the request and said no."""

    def __init__(self, message: str, *, status: int | None = None, code: int | str | None = None) -> None:
        """Keep the HTTP status and the exchange's own error code."""
        super().__init__(message)
        self.status = status
        self.code = code


class ProxyRefused(RequestRejected):
    """The proxy wants other credentials (407), or does not connect to that host."""


class NotFound(RequestRejected):
    """No such file or resource (HTTP 404)."""


class AuthenticationFailed(RequestRejected):
    """The keys are wrong, or not allowed to do that."""


class ArchiveError(ChandleryError):
    """A file of an exchange's archive cannot be used."""


class ChecksumMismatch(ArchiveError):
    """The file is not the one that its checksum describes."""

    retryable = True


class CorruptArchive(ArchiveError):
    """Not a zip file that holds one CSV of candles."""

    retryable = True


class CacheError(ChandleryError):
    """The cache folder cannot be used."""


class CorruptCacheFile(CacheError):
    """A cache file is damaged or cut short."""


class StorageError(ChandleryError):
    """The database did not do what it was asked; nothing of it was written."""


class StorageUnavailable(StorageError):
    """It cannot be opened, read or written now."""

    retryable = True


class StorageFull(StorageUnavailable):
    """No space is left for it."""


class StorageBusy(StorageUnavailable):
    """Somebody else holds it locked, or more waits to be written than may."""


class CorruptStorage(StorageError):
    """The file, or an entry in it, is damaged."""


class UnknownSchema(StorageError):
    """The file was written by a newer program, or by another one."""


class AccessDenied(ChandleryError):
    """The service does not let the caller do that."""


class InvalidToken(AccessDenied):
    """There is no token, or none that is to be trusted."""


class TokenExpired(InvalidToken):
    """The token is not valid any more."""


class InsufficientScope(AccessDenied):
    """The token does not allow it; ``scope`` is what would."""

    def __init__(self, message: str, *, scope: str) -> None:
        """Keep the scope that is needed."""
        super().__init__(message)
        self.scope = scope

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), scope=self.scope), self.args


class LoginFailed(AccessDenied):
    """Name and secret do not belong together."""


class TooManyLogins(LoginFailed):
    """Too many of them failed."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep when the next one is let through."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class Overloaded(ChandleryError):
    """Too much is under way; the same may succeed in ``retry_after_s``."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep when to try again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class TooMuchAtOnce(ChandleryError):
    """More heavy requests of a caller than are done at once."""

    retryable = True

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        """Keep when it is worth another try."""
        super().__init__(message)
        self.retry_after_s = retry_after_s

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), retry_after_s=self.retry_after_s), self.args


class IncompleteData(ChandleryError):
    """
    Part of the range could not be had.

    ``data`` is what was got, in the output form that was asked for; ``missing`` the gaps that
    were left by failures, oldest first; ``__cause__`` the first failure.
    """

    def __init__(self, message: str, *, data: Any, missing: Sequence[Gap]) -> None:
        """Keep the part that was got and the gaps."""
        super().__init__(message)
        self.data = data
        self.missing = tuple(missing)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), data=self.data, missing=self.missing), self.args


class MissingDependency(ChandleryError):
    """An optional extra is not installed; the message is the command that installs it."""


class CloseFailed(ChandleryError):
    """Something did not close as it should; everything else did. ``failures`` are the errors by name."""

    def __init__(self, message: str, *, failures: Mapping[str, BaseException]) -> None:
        """Keep what failed."""
        super().__init__(message)
        self.failures = dict(failures)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with what it carries, which is no positional argument."""
        return partial(type(self), failures=self.failures), self.args


class Closed(ChandleryError):
    """Used after it was closed."""
