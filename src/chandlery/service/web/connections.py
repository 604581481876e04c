"""Open connections, and eviction of idle ones when there are too many."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from chandlery.service.addresses import Network, client_address, is_proxy

MOST_IDLE = 1_024
"""Maximum number of idle unauthenticated connections."""
MOST_IDLE_OF_ADDRESS = 256
"""Maximum number of these of one address, or of one IPv6 /64 network."""
MOST_SOCKETS = 512
"""Maximum number of WebSockets among these."""


GRACE_S = 0.05
"""Pause in seconds after evicting a connection that was idle for less, so that new clients can send their request."""


class Place:
    """
    Slot of one connection.

    A connection is ``idle`` while the service waits for the client (for a request, the rest of one, a token, or until a
    response is read), and ``busy`` while the client waits for the service.
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
        """Attach the connection, which ``drop`` closes at once; it is called now if the slot was evicted before."""
        self._drop = drop
        if self._is_dropped:
            drop()

    def end(self) -> None:
        """Evict the connection."""
        self._is_dropped = True
        if self._drop is not None:
            self._drop()

    def idle(self) -> None:
        """Mark as idle: the service waits for the client."""
        if not self.is_trusted:
            self._connections.idle(self)

    def busy(self) -> None:
        """Mark as busy: the client waits for the service."""
        if not self.is_trusted:
            self._connections.busy(self)

    def trust(self) -> None:
        """Mark the client as authenticated."""
        if not self.is_trusted:
            self.is_trusted = True
            self._connections.busy(self)

    def leave(self) -> None:
        """Release the slot; idempotent."""
        if not self._has_left:
            self._has_left = True
            self._connections.leave(self)


class Connections:
    """
    Registry of connections that evicts unauthenticated ones when there are too many.

    ``most`` limits all connections. Idle unauthenticated ones have further limits: in total, per address, and for
    WebSockets. Beyond a limit, the connection that has been idle for longest is evicted, so that a flood evicts itself,
    and new clients have time to authenticate. Authenticated and busy connections are never evicted.

    With ``everybody``, no token is needed and every client counts as authenticated. Connections of ``proxies`` are not
    counted per address, since many clients share them.
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
        """True if a connection was evicted too early since the last reset."""
        self._idle: dict[Place, None] = {}  # in the order in which they became idle, as those below
        self._of_address: dict[str, dict[Place, None]] = {}
        self._sockets: dict[Place, None] = {}

    @property
    def strangers(self) -> int:
        """Number of idle unauthenticated connections."""
        return len(self._idle)

    def join(self, address: str) -> Place | None:
        """Return an idle slot for a new connection; ``None`` if there is no room."""
        if self.count >= self.most and not self._drop(self._idle, "connections"):
            return None
        self.count += 1
        counted = "" if is_proxy(address, self._proxies) else client_address(address, (), ())
        place = Place(self, counted, is_trusted=self._everybody)
        place.idle()
        return place

    def idle(self, place: Place) -> None:
        """Register an idle unauthenticated connection, and evict beyond the limits."""
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
        """Unregister a connection that is no longer idle."""
        if self._idle.pop(place, _MISSING) is _MISSING:
            return
        self._sockets.pop(place, None)
        same = self._of_address.get(place.address)
        if same is not None:
            same.pop(place, None)
            if not same:
                del self._of_address[place.address]

    def shed(self, count: int) -> None:
        """Evict ``count`` connections, since descriptors have run out."""
        for _ in range(count):
            if not self._drop(self._idle, "descriptors"):
                return

    def leave(self, place: Place) -> None:
        """Remove a connection."""
        self.busy(place)
        self.count -= 1

    def _drop(self, places: dict[Place, None], limit: str) -> bool:
        """Evict the connection that has been idle for longest; return whether there was one."""
        oldest = next(iter(places), None)
        if oldest is None:
            return False
        self.busy(oldest)
        self.hurried = self.hurried or self._clock() - oldest.since < GRACE_S
        self._on_dropped(limit)
        oldest.end()
        return True


_MISSING = object()
