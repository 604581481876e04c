"""How one market of an exchange speaks: what every wire format of the offline exchange says and understands."""

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
"""Symbols and times, as answers name them."""


class SimRequest(Struct, frozen=True):
    """
    An HTTP request; ``path`` begins after the exchange's base URL, with a slash; header names are in lower case.

    ``text_query`` is the query as it was sent, which signatures are made of.
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

    ``symbol`` is that of the market, ``native`` the exchange's. A book has no ``interval`` and
    ``depth`` levels a side.
    """

    key: str
    symbol: str
    native: str
    interval: Interval | None = None
    depth: int = 50


class Session:
    """What one connection has asked for; ``path`` and ``query`` are those that it came with."""

    most = 1024
    """How many subscriptions a connection may have."""

    def __init__(self, path: str, query: Mapping[str, str]) -> None:
        self.path = path
        self.query = query
        self.wants: dict[str, Want] = {}
        self.sequence = 0
        """For exchanges that number the messages of a connection."""
        self.silent = False
        """Whether it acknowledges and sends nothing."""
        self.cut = False
        """Whether it is to be closed without a word."""

    def join(self, want: Want) -> bool:
        """Add a subscription; whether there was room."""
        if len(self.wants) >= self.most:
            return False
        self.wants[want.key] = want
        return True

    def leave(self, key: str) -> None:
        """End a subscription, if it is one."""
        self.wants.pop(key, None)


class Wire(ABC):
    """
    The wire format of one market, written from its documentation and not from our adapters.

    Contents that go out are values for JSON, text, or bytes; ``frame`` makes the frame of them.
    """

    id: ClassVar[str]
    market_type: ClassVar[MarketType]
    grids: ClassVar[Mapping[Interval, Grid]] = GRIDS
    """When candles open, as the exchange documents it."""
    signs_in: ClassVar[bool] = False
    """Whether it answers only to those who have an access token, which it hands out as well."""
    dates_candles: ClassVar[bool] = True
    """Whether messages of candles say when they were sent."""
    takes_unknown: ClassVar[bool] = False
    """Whether subscriptions of unknown symbols are acknowledged, and never served."""
    skew: int = 0
    """What is added to each checksum: not 0 for a message whose checksum is to be wrong."""

    def __init__(self, view: MarketView, *, ticks: Callable[[], float], weight_limit: int | None = None) -> None:
        """``ticks`` are seconds that really pass, for limits; ``weight_limit`` takes the place of the exchange's own."""
        self.view = view
        self.ticks = ticks
        self.weight_limit = weight_limit
        self.accounts = Accounts()
        """Who may ask for what is not public."""

    @abstractmethod
    def symbol(self, native: str) -> str | None:
        """The market's symbol for one in the exchange's spelling; ``None`` where it is not traded."""

    @abstractmethod
    def answer(self, request: SimRequest) -> Reply:
        """What the exchange says to a request."""

    def respond(self, request: SimRequest) -> Reply:
        """What the exchange says to a request, contradictions included."""
        served = self.view.served
        reply = self.answer(request)
        if self.view.served == served or reply.status != 200 or not self.view.unlike.reshapes:
            return reply
        rows = self.reshaped(msgspec.json.decode(reply.body), rows=True)
        return Reply(reply.status, msgspec.json.encode(rows), reply.headers)

    def heed(self, session: Session, text: str) -> Sequence[Any]:
        """The answers to a message, contradictions included; ``session.cut`` says that the connection is closed."""
        unlike, before = self.view.unlike, dict(session.wants)
        answers = self._obeyed(session, text, unlike.refused)
        new = [each.symbol for key, each in session.wants.items() if key not in before]
        if not unlike.closes_at.isdisjoint(new):
            session.cut = True
            return ()
        if new and unlike.refuses_whole:
            # What is answered where no symbol is known refuses, whatever it names.
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
        """A content that goes out, whose rows have the places that the exchange gives them; only ``rows`` lose any."""
        unlike = self.view.unlike
        if not unlike.reshapes:
            return content
        return reshaped(content, unlike.extra_columns, unlike.fewer_columns if rows else 0)

    @abstractmethod
    def refusal(self, status: int) -> Reply:
        """How the exchange words a failure of its own: 429 too many requests, 418 banned, 404, 5xx."""

    def stream_of(self, request: SimRequest) -> str | None:
        """
        The message for ``obey`` that a request stands for whose answer is a stream of lines.

        ``None`` for all others. Whether the stream is opened, ``answer`` says by its status.
        """
        return None

    def admit(self, session: Session) -> Reply | None:
        """Why a socket is not opened; ``None`` where it is."""
        return None

    def greeting(self, session: Session) -> Sequence[Any]:
        """What is sent first on a new connection."""
        return ()

    @abstractmethod
    def obey(self, session: Session, text: str) -> Sequence[Any]:
        """The answers to a message; subscriptions join or leave the session. Data follow with the next tick."""

    @abstractmethod
    def candles(self, session: Session, want: Want, candles: Sequence[SimCandle]) -> Sequence[Any]:
        """
        The messages that bring candles: those that have closed since the last tick, and the running one, which is last.

        With the first call for a want there is the running one alone.
        """

    def book(self, session: Session, want: Want, state: BookState, tick: int) -> Sequence[Any]:
        """The messages with which the stream of a book begins; none where it has no snapshot of its own."""
        return ()

    @abstractmethod
    def changes(
        self, session: Session, want: Want, bids: Levels, asks: Levels, before: int, after: int
    ) -> Sequence[Any]:
        """
        The messages that bring a book from the tick ``before`` to ``after``.

        Tick numbers serve as ids: the update holds the ids ``before + 1`` to ``after``, a snapshot at a
        tick has its id. They are sent tick by tick, ``after`` being ``before + 1``.
        """

    def heartbeat(self, session: Session) -> Sequence[Any]:
        """What is sent with every tick besides data, such as the exchange's own ping."""
        return ()

    def frame(self, content: Any) -> str | bytes:
        """The frame for a content: text for JSON and text, binary for bytes."""
        return content if isinstance(content, str | bytes) else msgspec.json.encode(content).decode()

    def forget_tokens(self) -> None:  # noqa: B027  # most exchanges have none
        """From now on every token that was handed out is refused, where the exchange has any."""

    @property
    def now(self) -> Micros:
        """What time it is there."""
        return self.view.clock()
