"""Base of the offline exchange's wire formats: one market of an exchange."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec
from msgspec import Struct

from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import Micros
from chandlery.sim.accounts import Accounts
from chandlery.sim.book import BookState, Levels
from chandlery.sim.grids import GRIDS, Grid
from chandlery.sim.reply import Reply
from chandlery.sim.shape import reshaped
from chandlery.sim.view import MarketView, SimCandle

_NAME = re.compile(r"[A-Z0-9]+")
"""Pattern of symbols and times in responses."""


class SimRequest(Struct, frozen=True):
    """
    HTTP request; ``path`` is relative to the exchange's base URL and begins with a slash; header names are in lower
    case.

    ``text_query`` is the raw query, which signatures cover.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    text_query: str = ""


class Want(Struct, frozen=True):
    """
    One subscription of a connection; ``key`` is unique in the connection.

    ``symbol`` is that of the market, ``native`` the exchange's. A book has no ``interval`` and ``depth`` levels per
    side.
    """

    key: str
    symbol: str
    native: str
    interval: Interval | None = None
    depth: int = 50


class Session:
    """Subscriptions of one connection; ``path`` and ``query`` are those of its request."""

    most = 1024
    """Maximum number of subscriptions per connection."""

    def __init__(self, path: str, query: Mapping[str, str]) -> None:
        self.path = path
        self.query = query
        self.wants: dict[str, Want] = {}
        self.sequence = 0
        """Sequence number, for exchanges that number the messages of a connection."""
        self.silent = False
        """True if the connection acknowledges commands but sends no data."""
        self.cut = False
        """True if the connection is to be cut."""

    def join(self, want: Want) -> bool:
        """Add a subscription; return whether there was room."""
        if len(self.wants) >= self.most:
            return False
        self.wants[want.key] = want
        return True

    def leave(self, key: str) -> None:
        """Remove a subscription, if present."""
        self.wants.pop(key, None)


class Wire(ABC):
    """
    Wire format of one market, derived from its documentation and not from our adapters.

    Outgoing contents are JSON values, text, or bytes; ``frame`` encodes them.
    """

    id: ClassVar[str]
    market_type: ClassVar[MarketType]
    grids: ClassVar[Mapping[Interval, Grid]] = GRIDS
    """Grids of candles, as the exchange documents them."""
    signs_in: ClassVar[bool] = False
    """True if requests need an access token, which the exchange also issues."""
    dates_candles: ClassVar[bool] = True
    """True if messages of candles hold their send time."""
    takes_unknown: ClassVar[bool] = False
    """True if subscriptions of unknown symbols are acknowledged, and never served."""
    skew: int = 0
    """Offset added to each checksum; nonzero for a wrong checksum."""

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        """``ticks`` is a monotonic clock in seconds, for limits; ``weight_limit`` replaces the exchange's own limit."""
        self.view = view
        self.ticks = ticks
        self.weight_limit = weight_limit
        self.accounts = Accounts()
        """Accounts for non-public endpoints."""

    @abstractmethod
    def symbol(self, native: str) -> str | None:
        """Return the market's symbol for one in the exchange's spelling; ``None`` if it is not traded."""

    @abstractmethod
    def answer(self, request: SimRequest) -> Reply:
        """Return the exchange's response to a request."""

    def respond(self, request: SimRequest) -> Reply:
        """Return the exchange's response to a request, contradictions included."""
        served = self.view.served
        reply = self.answer(request)
        if self.view.served == served or reply.status != 200 or not self.view.unlike.reshapes:
            return reply
        rows = self.reshaped(msgspec.json.decode(reply.body), rows=True)
        return Reply(reply.status, msgspec.json.encode(rows), reply.headers)

    def heed(self, session: Session, text: str) -> Sequence[Any]:
        """Return the answers to a message, contradictions included; sets ``session.cut`` if the connection is closed."""
        unlike, before = self.view.unlike, dict(session.wants)
        answers = self._obeyed(session, text, unlike.refused)
        new = [each.symbol for key, each in session.wants.items() if key not in before]
        if not unlike.closes_at.isdisjoint(new):
            session.cut = True
            return ()
        if new and unlike.refuses_whole:
            # An answer that would also be given with all symbols unknown is a refusal, whatever it names.
            stranger = Session(session.path, session.query)
            every = self._obeyed(stranger, text, frozenset(self.view.symbols()))
            refusals = {_NAME.sub("", repr(each)) for each in every}
            refused = [each for each in answers if _NAME.sub("", repr(each)) in refusals]
            if refused:
                session.wants = before
                return refused
        return answers

    def _obeyed(self, session: Session, text: str, refused: frozenset[str]) -> Sequence[Any]:
        self.view.refuses = refused
        try:
            return self.obey(session, text)
        finally:
            self.view.refuses = frozenset()

    def reshaped(self, content: Any, *, rows: bool) -> Any:
        """Return an outgoing content with reshaped rows; only ``rows`` lose fields."""
        unlike = self.view.unlike
        if not unlike.reshapes:
            return content
        return reshaped(content, unlike.extra_columns, unlike.fewer_columns if rows else 0)

    @abstractmethod
    def refusal(self, status: int) -> Reply:
        """Return the exchange's response for a failure: 429 too many requests, 418 banned, 404, 5xx."""

    def stream_of(self, request: SimRequest) -> str | None:
        """
        Return the message for ``obey`` of a request whose response is a stream of lines.

        ``None`` for all others. The status of ``answer`` says whether the stream is opened.
        """
        return None

    def admit(self, session: Session) -> Reply | None:
        """Return the refusal of a WebSocket; ``None`` if it is accepted."""
        return None

    def greeting(self, session: Session) -> Sequence[Any]:
        """Return the first messages on a new connection."""
        return ()

    @abstractmethod
    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """Return the answers to a message, after adding or removing subscriptions. Data follows with the next tick."""

    @abstractmethod
    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """
        Return the messages for candles: those closed since the last tick, and last the running one.

        The first call for a subscription has only the running one.
        """

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """Return the first messages of a book stream; empty if it has no snapshot."""
        return ()

    @abstractmethod
    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """
        Return the messages that bring a book from the tick ``before`` to ``after``.

        Tick numbers serve as ids: the update holds the ids ``before + 1`` to ``after``, a snapshot at a tick has its
        id. They are sent tick by tick, ``after`` being ``before + 1``.
        """

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """Return messages sent with every tick besides data, such as the exchange's own ping."""
        return ()

    def frame(self, content: Any) -> str | bytes:
        """Encode a content: text for JSON and text, binary for bytes."""
        return content if isinstance(content, str | bytes) else msgspec.json.encode(content).decode()

    def forget_tokens(self) -> None:  # noqa: B027  # most exchanges have none
        """Refuse all tokens issued so far, if the exchange has any."""

    @property
    def now(self) -> Micros:
        """Exchange time."""
        return self.view.clock()
