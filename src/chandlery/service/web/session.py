"""Session of one WebSocket client: identity, subscriptions and responses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import msgspec

from chandlery.clients.interfaces import ResolvedSeries
from chandlery.clients.markets import in_market
from chandlery.core.errors import ChandleryError, InvalidInput, InvalidToken
from chandlery.core.gaps import Span
from chandlery.core.series_id import SeriesId
from chandlery.core.time import SECOND, Clock
from chandlery.service.auth.interfaces import COLLECT, READ, IAuthenticationModule, Subject
from chandlery.service.collection.interfaces import IDataCollectionManager
from chandlery.service.errors import code_of
from chandlery.service.frames import text_frame
from chandlery.service.historical.interfaces import IHistoricalDataManager
from chandlery.service.label import labelled
from chandlery.service.parameters import span_of
from chandlery.service.web.history import StreamingHandler
from chandlery.service.web.messages import (
    Auth,
    Id,
    MostCurrent,
    Ping,
    RequestHistorical,
    Subscribe,
    Unsubscribe,
    id_of,
    parsed,
)
from chandlery.service.web.send_queue import SendQueue
from chandlery.service.web.subscription import Subscription
from chandlery.service.workload import Workload

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

MOST_SUBSCRIPTIONS = 1_000
MOST_TASKS = 16
"""Maximum number of concurrent requests per client."""


class Session:
    """
    Handler of one client's messages.

    An error is sent to the client and affects no other request. ``subject`` is the client, ``None`` before
    authentication. Tokens expire by ``token_clock``.
    """

    def __init__(
        self,
        send_queue: SendQueue,
        authentication: IAuthenticationModule,
        collection: IDataCollectionManager,
        historical: IHistoricalDataManager,
        clock: Clock,
        token_clock: Clock,
        workload: Workload,
        resolve: Callable[[SeriesId], ResolvedSeries],
    ) -> None:
        self.subject: Subject | None = None
        self.renewed = asyncio.Event()
        """Set on every authentication."""
        self._send_queue = send_queue
        self._authentication = authentication
        self._collection = collection
        self._historical = historical
        self._clock = clock
        self._token_clock = token_clock
        self._workload = workload
        self._resolve = resolve
        self._subscriptions: dict[SeriesId, Subscription] = {}
        self._ends: dict[SeriesId, Callable[[], object]] = {}
        """Functions that end the subscriptions."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._following: dict[SeriesId, asyncio.Task[None] | None] = {}

    async def authenticate(self, token: str | None) -> None:
        """
        Authenticate the client.

        Raises:
            InvalidToken: The token is invalid, or belongs to another account than the previous one.
        """
        subject = await self._authentication.validate_token(token)
        if self.subject is not None and (subject.id, subject.issuer) != (self.subject.id, self.subject.issuer):
            raise InvalidToken("the token belongs to another account; open another connection for it")
        self.subject = subject
        self._send_queue.trust()
        self.renewed.set()

    async def hear(self, text: str) -> None:
        """Handle a message; errors are sent to the client, not raised."""
        try:
            message = parsed(text)
        except InvalidInput as error:
            self._notify_error(error, id_of(text))
            return
        if isinstance(message, Auth):
            await self._guarded(self._auth(message), message.id)
        elif isinstance(message, Ping):
            self._notify("pong", message.id)
        elif isinstance(message, Unsubscribe):
            await self._guarded(self._unsubscribe(message), message.id)
        elif len(self._tasks) >= MOST_TASKS:
            self._notify_error(
                InvalidInput(f"{len(self._tasks)} requests are in progress; wait for one of them"), message.id
            )
        else:
            self._begin(message)

    async def end(self) -> None:
        """Cancel all requests and subscriptions."""
        for series in list(self._subscriptions):
            self._drop(series)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._send_queue.end()

    def _begin(self, message: Subscribe | RequestHistorical | MostCurrent) -> None:
        work = {Subscribe: self._subscribe, RequestHistorical: self._request, MostCurrent: self._most_current}
        task = asyncio.create_task(self._guarded(work[type(message)](message), message.id))  # type: ignore[operator]  # each takes its own kind
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None], request: Id) -> None:
        """Run a request, and send its error to the client."""
        try:
            await work
        except ChandleryError as error:
            self._notify_error(error, request)
        except Exception as error:
            log.exception("a request of a client failed")
            message = f"{type(error).__name__}; see the log of the service"
            self._notify("error", request, code="internal_error", message=message, retryable=False)

    def _require(self, scope: str) -> Subject:
        if self.subject is None:
            raise InvalidToken('authenticate first: {"type": "auth", "token": ...}')
        self.subject.still_valid(self._token_clock())
        self.subject.require(scope)
        return self.subject

    async def _auth(self, message: Auth) -> None:
        await self.authenticate(message.token)
        assert self.subject is not None  # noqa: S101  # it has just been set
        ends = self.subject.expires_at
        left = None if ends is None else max(ends - self._token_clock(), 0) // SECOND
        self._notify("authenticated", message.id, scopes=sorted(self.subject.scopes), expires_in=left)

    def _series(self, message: Subscribe | Unsubscribe | RequestHistorical | MostCurrent) -> ResolvedSeries:
        symbol = str(message.symbol)
        if message.market is not None:
            symbol = in_market(message.exchange, symbol, message.market)
        return self._resolve(SeriesId.parse(message.exchange, symbol, message.channel, message.interval))

    async def _subscribe(self, message: Subscribe) -> None:
        self._require(READ)
        found = self._series(message)
        await self._collect(found.id)
        series = found.id
        if series not in self._subscriptions:
            self._add(Subscription(series, self._send_queue))
        self._notify("subscribed", message.id, **_named(found))
        latest = self._collection.latest(series)
        if latest is not None:
            self._send_queue.replace(series, latest.frame)

    async def _unsubscribe(self, message: Unsubscribe) -> None:
        self._require(READ)
        found = self._series(message)
        series = found.id
        if series not in self._subscriptions:
            raise InvalidInput(
                f"there is no subscription to {series.channel_text} of {series.symbol} at {series.exchange}"
            )
        self._drop(series)
        self._notify("unsubscribed", message.id, **_named(found))

    async def _request(self, message: RequestHistorical) -> None:
        subject = self._require(READ)
        if message.follow and message.end is not None:
            raise InvalidInput("follow continues with live data, so it cannot be combined with end")
        found = self._series(message)
        series = found.id
        now = self._clock()
        span = span_of(message.start, message.end, now)
        handler = StreamingHandler(
            self._historical,
            self._send_queue,
            found,
            form=message.format,
            request=message.id,
            turn=partial(self._workload.turn, subject),
        )
        if not message.follow:
            await self._collect(series)
            await handler.send(span)
            return
        if series in self._subscriptions:
            raise InvalidInput("this series is already subscribed; unsubscribe first, then request it with follow")
        subscription = Subscription(series, self._send_queue, held=True)
        self._add(subscription)
        self._following[series] = asyncio.current_task()
        try:
            await self._collect(series)
            await handler.follow(subscription, Span(span.start, max(self._clock(), span.start + 1)))
        except BaseException:
            self._following.pop(series, None)
            if self._subscriptions.get(series) is subscription:
                self._drop(series)
            raise
        self._following.pop(series, None)

    async def _most_current(self, message: MostCurrent) -> None:
        self._require(READ)
        found = self._series(message)
        data = await self._historical.latest(found)
        self._notify("most_current_data", message.id, **_named(found), data=data)

    async def _collect(self, series: SeriesId) -> None:
        """Make sure that the series is collected; starting to collect it needs the scope."""
        self._require(READ)
        if not self._collection.collects(series):
            self._require(COLLECT)
        await self._collection.collect([series])

    def _add(self, subscription: Subscription) -> None:
        if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
            raise InvalidInput(f"a connection has at most {MOST_SUBSCRIPTIONS} subscriptions; open another one")
        self._ends[subscription.series] = self._collection.subscribe(subscription.series, subscription)
        self._subscriptions[subscription.series] = subscription

    def _drop(self, series: SeriesId) -> None:
        del self._subscriptions[series]
        self._ends.pop(series)()
        following = self._following.pop(series, None)
        if following is not None:
            following.cancel()

    def _notify_error(self, error: ChandleryError, request: Id) -> None:
        self._notify("error", request, code=code_of(error), message=str(error), retryable=error.retryable)

    def _notify(self, kind: str, request: Id, **content: Any) -> None:
        head = {"type": kind} if request is None else {"type": kind, "id": request}
        self._send_queue.put(text_frame(msgspec.json.encode(head | content)))


def _named(series: ResolvedSeries) -> dict[str, Any]:
    return series.id.plain() | labelled(series.origin)
