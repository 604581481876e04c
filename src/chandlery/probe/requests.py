"""Requests of a probe: each answer is recorded, and an empty one is asked for again."""

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
    """REST of one exchange, as raw answers; ``empties`` counts answers that were empty once and not again."""

    def __init__(self, adapter: ExchangeAdapter, client: HttpClient | Account, clock: Clock, symbol: str) -> None:
        self.adapter = adapter
        self.symbol = symbol
        self.recordings: list[Recording] = []
        self.allowed: Micros = 500_000
        """How exactly delays are measured."""
        self.empties = 0
        self.offset: Micros = 0
        """How far the exchange's clock is ahead of ours."""
        self._client = client
        self._clock = clock

    def local(self) -> Micros:
        """What time it is here."""
        return self._clock()

    def now(self) -> Micros:
        """What time it is at the exchange."""
        return self._clock() + self.offset

    async def send(self, request: Request, kind: str, *, error_of: ErrorOf | None = None, **about: str) -> Response:
        """The answer to a request; what is refused raises, after it was recorded."""
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
        """Keep a recording while there is room."""
        if len(self.recordings) < _MOST_RECORDED and len(recording.body) < _LONGEST_BODY:
            self.recordings.append(recording)

    def expect(self, rows: list[list[float]]) -> None:
        """Say of the last recording what another client made of it."""
        self.recordings[-1:] = [structs.replace(each, expect=rows) for each in self.recordings[-1:]]

    async def body(self, interval: Interval, span: Span, kind: str = "rest_candles") -> bytes:
        """The body of an answer with candles, recorded unless ``kind`` is empty; none where the exchange refuses the range."""
        request = self.adapter.candles_request(self.symbol, interval, span)
        try:
            answer = await self.send(request, kind, symbol=self.symbol, interval=interval.value)
        except (InvalidRange, RequestRejected):
            return b""
        return answer.body

    async def opens(self, interval: Interval, span: Span, keep: Callable[[Micros], bool] | None = None) -> list[Micros]:
        """When the candles of an answer open, those of ``span`` alone unless ``keep`` says otherwise."""
        wanted = keep or span.holds
        found: list[Micros] = []
        for attempt in range(2):
            body = await self.body(interval, span)
            found = sorted(filter(wanted, self.adapter.candles(body, interval).open_time)) if body else []
            if found:
                self.empties += attempt
                break
        return found
