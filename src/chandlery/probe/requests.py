"""Requests of a probe: each response is recorded, and an empty one is requested again."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import structs

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, InvalidRange, RequestRejected
from chandlery.core.gaps import Span
from chandlery.core.http import Request, Response
from chandlery.core.interval import Interval
from chandlery.core.time import Clock, Micros
from chandlery.net.http import HttpClient
from chandlery.net.status import ErrorOf
from chandlery.net.tokens import Account
from chandlery.probe.findings import Recording

_MOST_RECORDED = 60
_LONGEST_BODY = 400_000


class Requester:
    """REST client of one exchange with raw responses; ``empties`` counts responses that were empty only once."""

    def __init__(self, adapter: ExchangeAdapter, client: HttpClient | Account, clock: Clock, symbol: str) -> None:
        self.adapter = adapter
        self.symbol = symbol
        self.recordings: list[Recording] = []
        self.allowed: Micros = 500_000
        """Precision of measured delays."""
        self.empties = 0
        self.offset: Micros = 0
        """Offset of the exchange's clock from the local one."""
        self._client = client
        self._clock = clock

    def local(self) -> Micros:
        """Return the local time."""
        return self._clock()

    def now(self) -> Micros:
        """Return the exchange's time."""
        return self._clock() + self.offset

    async def send(self, request: Request, kind: str, *, error_of: ErrorOf | None = None, **about: str) -> Response:
        """Send a request and return the response; a refusal is recorded, then raised."""
        seen: list[Response] = []

        def judge(response: Response) -> ChandleryError | None:
            seen.append(response)
            return (error_of or self.adapter.failure)(response)

        try:
            return await self._client.send(request, error_of=judge)
        finally:
            for response in seen[-1:] if kind else ():
                self.record(Recording.of(kind, request.url, response.status, response.body, **about))

    def record(self, recording: Recording) -> None:
        """Store a recording while there is room."""
        if len(self.recordings) < _MOST_RECORDED and len(recording.body) < _LONGEST_BODY:
            self.recordings.append(recording)

    def expect(self, rows: list[list[float]]) -> None:
        """Add another client's candles to the last recording."""
        self.recordings[-1:] = [structs.replace(each, expect=rows) for each in self.recordings[-1:]]

    async def body(self, interval: Interval, span: Span, kind: str = "rest_candles") -> bytes:
        """Return the body of a response with candles, recorded unless ``kind`` is empty; empty if the range is refused."""
        request = self.adapter.candles_request(self.symbol, interval, span)
        try:
            answer = await self.send(request, kind, symbol=self.symbol, interval=interval.value)
        except (InvalidRange, RequestRejected):
            return b""
        return answer.body

    async def opens(self, interval: Interval, span: Span, keep: Callable[[Micros], bool] | None = None) -> list[Micros]:
        """Return the open times of the candles in a response, filtered by ``span`` or by ``keep``."""
        wanted = keep or span.holds
        found: list[Micros] = []
        for attempt in range(2):
            body = await self.body(interval, span)
            found = sorted(filter(wanted, self.adapter.candles(body, interval).open_time)) if body else []
            if found:
                self.empties += attempt
                break
        return found
