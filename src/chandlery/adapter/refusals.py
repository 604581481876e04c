"""Parse refusals in an exchange's answers, and convert them to errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple, TypeAlias

from msgspec import Struct, defstruct

from chandlery.adapter.names import Spelling
from chandlery.adapter.payload import Whole, attempt
from chandlery.adapter.sites import Sites
from chandlery.core.errors import ChandleryError, ExchangeUnavailable, InvalidSymbol, RateLimited, RequestRejected
from chandlery.core.http import Response

Passing: TypeAlias = Mapping[int | str, type[RateLimited | ExchangeUnavailable]]
"""Errors by code for refusals that are retryable."""
_REFUSED_HERE = frozenset({403, 451})
"""Statuses that refuse an address because of its region."""


class Refusal(NamedTuple):
    """The exchange's code and message for a request that it refused."""

    code: int | str
    words: str


class Refusals(Struct, frozen=True):
    """
    The fields of a JSON answer that refuse a request.

    ``code`` and ``words`` are keys of the body; present texts are joined. An answer without the
    code, with one of the ``fine`` codes, or with a status below ``least_status`` is not a refusal.
    """

    code: str
    words: tuple[str, ...]
    fine: tuple[int | str, ...] = ()
    least_status: int = 0

    def find(self, response: Response) -> Refusal | None:
        """Return the refusal in an answer; ``None`` if there is none."""
        if response.status < self.least_status:
            return None
        found = _refusal(self)(response.body)
        code = None if found is None else getattr(found, self.code)
        if code is None or code in self.fine:
            return None
        return Refusal(code, " ".join(dict.fromkeys(str(said) for key in self.words if (said := getattr(found, key)))))


@cache
def _refusal(places: Refusals) -> Callable[[bytes], Any]:
    kinds: dict[str, Any] = dict.fromkeys(places.words, str | None) | {places.code: Whole | str | None}
    return attempt(defstruct("Refusal", [(key, kind, None) for key, kind in kinds.items()]))


class Refusing(Spelling):
    """The refusals of a market, and the error for each."""

    sites: ClassVar[Sites] = {}
    """Regional sites by name: base URLs as ``endpoints`` take them; ``{"site": name}`` there chooses one."""
    unknown: ClassVar[re.Pattern[str] | None] = None
    """Pattern of refusals of an unknown instrument, as ``<code>: <words>``, by REST and sockets."""
    refusals: ClassVar[Refusals | None] = None
    """The fields of refusals, which ``error`` reads."""
    passing: ClassVar[Passing] = {}
    """Codes of transient refusals, and the error for each."""

    def error(self, response: Response) -> ChandleryError | None:
        """
        Return the error that an answer describes in the exchange's own format; ``None`` if there is none.

        By default it reads ``refusals``. Called for every answer to a request of this adapter, whatever
        its status, except 429 and 5xx.
        """
        found = None if self.refusals is None else self.refusals.find(response)
        return None if found is None else self.refused(found.words, status=response.status, code=found.code)

    def failure(self, response: Response) -> ChandleryError | None:
        """Return ``error``; a refusal of this address (403, 451) also names the regional sites that may serve it."""
        said = self.error(response)
        if response.status not in _REFUSED_HERE:
            return said
        if said is None:
            body = bytes(response.body[:120])
            said = RequestRejected(f"{self.id} refused the request: {body!r}", status=response.status)
        example = f"endpoints={{{self.id!r}: {{'site': {next(iter(self.sites), '')!r}}}}}"
        other = f"its other sites are {', '.join(self.sites)}: {example}" if self.sites else "no other site is known"
        said.args = (f"{said}; status {response.status}: the exchange may not serve this region; {other}",)
        return said

    def refused(self, said: object, *, status: int | None = None, code: int | str | None = None) -> ChandleryError:
        """
        Return the error for a request that the exchange understood and refused with this message.

        It is ``InvalidSymbol`` if ``unknown`` matches, and that of ``passing`` for its codes.
        """
        passing = None if code is None else self.passing.get(code)
        if passing is not None:
            return passing(f"{self.id} requires a pause: {said} (code {code})")
        if self.unknown is not None and self.unknown.search(f"{code}: {said}"):
            return self.unknown_symbol(said)
        which = f"code {code}" if status is None or code is not None else f"status {status}"
        return RequestRejected(f"{self.id} refused the request: {said} ({which})", status=status, code=code)

    def unknown_symbol(self, said: object) -> InvalidSymbol:
        """Return the error for a symbol that the exchange does not know, with its message."""
        return InvalidSymbol(f"{self.id} does not know the symbol ({said}); it has e.g. {self.example}")
