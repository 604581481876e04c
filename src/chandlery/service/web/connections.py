"""Who is connected, and who has to go so that others get in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from chandlery.service.addresses import Network, client_address, is_proxy

MOST_IDLE = 1_024
"""Connections without a token that the service waits for."""
MOST_IDLE_OF_ADDRESS = 256
"""Those of one address, or of one IPv6 network of 64 bits."""
MOST_SOCKETS = 512
"""Sockets (WebSocket) among them."""


GRACE_S = 0.05
"""Where one had to go that was idle for less, no more are taken for a moment: who has just come would else go before it has asked."""


class Place:
    """
    A connection's place among all of them.

    The service waits for its client while it is ``idle`` (for a request, the rest of one, a token, or until an answer is taken),
    and the client for the service while it is ``busy``.
    """

    __slots__ = ("_connections", "_drop", "_has_left", "_is_dropped", "address", "is_socket", "is_trusted", "since")

    def __init__(self, connections: Connections, address: str, *, is_trusted: bool) -> None:
        self._connections = connections
        self._has_left = False
        self.address = address
        self.is_trusted = is_trusted
        self.is_socket = False
        self._drop: Callable[[], object] | None = None
        self._is_dropped = False
        self.since = 0.0

    def begin(self, drop: Callable[[], object]) -> None:
        """The connection is there, and ``drop`` ends it at once; it is called now where it had to go before it was there."""
        self._drop = drop
        if self._is_dropped:
            drop()

    def end(self) -> None:
        """Let the connection go, for others."""
        self._is_dropped = True
        if self._drop is not None:
            self._drop()

    def idle(self) -> None:
        """The service waits for the client."""
        if not self.is_trusted:
            self._connections.idle(self)

    def busy(self) -> None:
        """The client waits for the service."""
        if not self.is_trusted:
            self._connections.busy(self)

    def trust(self) -> None:
        """The client has shown a token that is to be trusted."""
        if not self.is_trusted:
            self.is_trusted = True
            self._connections.busy(self)

    def leave(self) -> None:
        """The connection has ended; the second time, nothing."""
        if not self._has_left:
            self._has_left = True
            self._connections.leave(self)


class Connections:
    """
    Counts connections, and ends some of those without a token where there are too many.

    ``most`` bounds all of them. Those without a token that the service waits for are bounded besides: in all, by address, and
    sockets among them. Where one is too many, the one that is idle for longest goes: a flood pushes itself out, while who has just
    come has the time to say who it is. A connection that has shown a token, or that the service works for, is never ended for others.

    ``everybody`` is trusted where nobody needs a token. The connections of ``proxies`` are not counted by
    address, since many callers share them.
    """

    def __init__(
        self,
        most: int,
        *,
        everybody: bool = False,
        proxies: Sequence[Network] = (),
        on_dropped: Callable[[str], object] = lambda _: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.most = most
        self.most_idle = min(MOST_IDLE, most // 2)
        self.most_idle_of_address = min(MOST_IDLE_OF_ADDRESS, most // 4)
        self.most_sockets = min(MOST_SOCKETS, most // 4)
        self.count = 0
        self._everybody = everybody
        self._proxies = proxies
        self._on_dropped = on_dropped
        self._clock = clock
        self.hurried = False
        """Whether one had to go too soon since this was last set."""
        self._idle: dict[Place, None] = {}  # in the order in which they became so, as those below
        self._of_address: dict[str, dict[Place, None]] = {}
        self._sockets: dict[Place, None] = {}

    @property
    def strangers(self) -> int:
        """How many idle connections have shown no token."""
        return len(self._idle)

    def join(self, address: str) -> Place | None:
        """A place for a new connection, which is idle; ``None`` where there is none for it."""
        if self.count >= self.most and not self._drop(self._idle, "connections"):
            return None
        self.count += 1
        counted = "" if is_proxy(address, self._proxies) else client_address(address, (), ())
        place = Place(self, counted, is_trusted=self._everybody)
        place.idle()
        return place

    def idle(self, place: Place) -> None:
        """Count a connection without a token that the service waits for."""
        if place in self._idle:
            return
        self._idle[place] = None
        place.since = self._clock()
        if place.address:
            same = self._of_address.setdefault(place.address, {})
            same[place] = None
            if len(same) > self.most_idle_of_address:
                self._drop(same, "connections of an address")
        if place.is_socket:
            self._sockets[place] = None
            if len(self._sockets) > self.most_sockets:
                self._drop(self._sockets, "sockets without a token")
        if len(self._idle) > self.most_idle:
            self._drop(self._idle, "connections without a token")

    def busy(self, place: Place) -> None:
        """Count it no more."""
        if self._idle.pop(place, _MISSING) is _MISSING:
            return
        self._sockets.pop(place, None)
        same = self._of_address.get(place.address)
        if same is not None:
            same.pop(place, None)
            if not same:
                del self._of_address[place.address]

    def shed(self, count: int) -> None:
        """End so many of those that may be ended, as there are no descriptors left."""
        for _ in range(count):
            if not self._drop(self._idle, "descriptors"):
                return

    def leave(self, place: Place) -> None:
        """Forget a connection."""
        self.busy(place)
        self.count -= 1

    def _drop(self, places: dict[Place, None], limit: str) -> bool:
        """End the one that is idle for longest, if there is one."""
        oldest = next(iter(places), None)
        if oldest is None:
            return False
        self.busy(oldest)
        self.hurried = self.hurried or self._clock() - oldest.since < GRACE_S
        self._on_dropped(limit)
        oldest.end()
        return True


_MISSING = object()
