"""Measurements over REST: pages, bounds, grids, history limit, rows, symbols, funding."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from itertools import pairwise

from chandlery.adapter.base import ExchangeAdapter
from chandlery.core.errors import ChandleryError, InvalidInput, InvalidSymbol
from chandlery.core.gaps import Span
from chandlery.core.instrument import Instrument, ListingStatus, MarketType
from chandlery.core.interval import Interval
from chandlery.core.time import DAY, HOUR, MINUTE, SECOND, Micros, iso
from chandlery.probe.findings import Finding, rows_of
from chandlery.probe.requests import Requester

_SKEW: Micros = 2 * SECOND
"""Precision of an exchange's clock; some have whole seconds."""
_FARTHEST = 64
"""Number of pages to search back for the history limit."""
_GRID_ROWS = 6
_FEW = 3
"""Number of candles that may begin while the history limit is measured."""
_DOCUMENTED_PLACES = {"binance": 12, "bybit": 7, "okx": 9, "kraken": 8, "gate_spot": 8, "kucoin": 7, "mexc_spot": 8}
"""Documented row widths by prefix of the id; adapters declare only the fields that they read, and wider rows are harmless."""
_RATES_EVERY = 8 * HOUR

Measure = Callable[[Requester], Awaitable[list[Finding]]]


async def clock(ask: Requester) -> list[Finding]:
    """Measure the exchange's clock offset, which the other measurements use."""
    began = ask.local()
    answer = await ask.send(ask.adapter.server_time_request(), "server_time")
    said = ask.adapter.clock(answer)
    ahead = said - (began + ask.local()) // 2
    ask.offset = ahead if abs(ahead) > _SKEW else 0
    return [Finding.of("clock_skew_s", 0, f"{ahead / SECOND:+.1f}", agrees=abs(ahead) <= _SKEW)]


async def lateness(ask: Requester) -> list[Finding]:
    """Measure the age of the latest closed one-minute candle of REST."""
    now = ask.now()
    running = Interval.MINUTE_1.floor(now)
    span = Span(running - 45 * MINUTE, running)
    opens = await ask.opens(Interval.MINUTE_1, span)
    late = running - (opens[-1] + MINUTE) if opens else 45 * MINUTE
    allowed = ask.adapter.close_delay
    age = now - running
    agrees = None if late == MINUTE and age <= allowed else late == 0
    measured = f"none within {45 * 60} s" if not opens else f"{(late + age) / SECOND:.0f} old" if late else "at hand"
    return [Finding.of("late_s", f"{allowed / SECOND:g}", measured, agrees=agrees)]


async def page(ask: Requester) -> list[Finding]:
    """Measure the page size, and how far back candles reach."""
    declared, interval = ask.adapter.page_size, Interval.MINUTE_1
    end = await _newest(ask)
    span = Span(end - declared * MINUTE, end)
    opens = await ask.opens(interval, span)
    if not opens:
        return [Finding.of("page_size", declared, "no candle", agrees=None)]
    missing = _holes(opens, span)
    there = [await ask.opens(interval, Span(max(hole.start, hole.end - 5 * MINUTE), hole.end)) for hole in missing]
    if any(there):
        return [Finding.of("page_size", declared, len(opens), agrees=False)]
    if missing and ask.adapter.sends_empty_candles and missing[0].start == span.start:
        measured = f"at least {len(opens)}"
        memory = (_running(ask) - opens[0]) // MINUTE + 1
        declared_depth = _declared_depth(ask)
        agrees = declared_depth is not None and abs(memory - declared_depth) <= _FEW
        return [
            Finding.of("page_size", declared, measured, agrees=None),
            Finding.of("memory", _depth_text(ask), f"{memory} candles", agrees=agrees),
        ]
    full = len(opens) == declared or not ask.adapter.sends_empty_candles
    return [
        Finding.of("page_size", declared, len(opens), agrees=full),
        await _history_depth(ask, end),
    ]


async def order(ask: Requester) -> list[Finding]:
    """Check that responses begin with the oldest candle, and whether they hold candles outside the range."""
    end = await _newest(ask)
    span = Span(end - 10 * MINUTE, end - 5 * MINUTE)
    body = await ask.body(Interval.MINUTE_1, span)
    opens = sorted(ask.adapter.candles(body, Interval.MINUTE_1).open_time) if body else []
    inside = [each for each in opens if span.holds(each)]
    if len(inside) < 2:
        return [Finding.of("bounds", "[start, end)", f"{len(inside)} of 5 candles", agrees=None)]
    newest_first = _position(body, inside[0]) > _position(body, inside[-1])
    beyond = {"before": sum(each < span.start for each in opens), "after": sum(each >= span.end for each in opens)}
    extra = ", ".join(f"{count} {where}" for where, count in beyond.items() if count) or "no other"
    return [
        Finding.of("order", "any", "newest first" if newest_first else "oldest first", agrees=True),
        Finding.of("bounds", "[start, end)", f"{len(inside)} of 5 candles, {extra}", agrees=len(inside) == 5),
    ]


async def grids(ask: Requester) -> list[Finding]:
    """Check the open times of candles of an hour and longer."""
    found = []
    for interval in ask.adapter.intervals:
        if interval.longest < HOUR:
            continue
        grid = ask.adapter.grid(interval)
        end = grid.floor(ask.now())
        span = Span(grid.step(end, -_GRID_ROWS), end)
        oldest = ask.adapter.oldest(interval, ask.now())
        span = Span(span.start if oldest is None else max(span.start, oldest), span.end)
        margin = Span(span.start - interval.longest, span.end + interval.longest)
        opens = await ask.opens(interval, span, margin.holds)
        off = [each - grid.floor(each) for each in opens if grid.floor(each) != each]
        measured = "no candle" if not opens else f"{off[0] / HOUR:g} h later" if off else f"opens {iso(opens[-1])}"
        found.append(Finding.of(f"anchor {interval.value}", "UTC, Monday", measured, agrees=not off if opens else None))
    return found


async def rows(ask: Requester) -> list[Finding]:
    """Check the row width where rows are arrays, and that all required fields are present."""
    layout, end = ask.adapter.rest_row, _running(ask)
    found = rows_of(await ask.body(Interval.MINUTE_1, Span(end - 45 * MINUTE, end)))
    if not found:
        return [Finding.of("extra_columns", "rows", "no array of rows", agrees=None)]
    if isinstance(found[0], list):
        declared = _places(ask.adapter)
        widths = {len(row) for row in found}
        name = "fewer_columns" if max(widths) < declared else "extra_columns"
        measured = " or ".join(map(str, sorted(widths)))
        return [Finding.of(name, f"{declared} places", f"{measured} places", agrees=widths == {declared})]
    inside = [value for value in found[0].values() if isinstance(value, dict)]
    keys = [key for each in (found[0], *inside) for key in each]
    lacking = [str(each) for each in layout.places().values() if each not in keys]
    if lacking:
        return [Finding.of("fewer_columns", "an object", f"lacks {', '.join(lacking)}", agrees=False)]
    return [Finding.of("extra_columns", "an object", f"{len(keys)} fields", agrees=True)]


def _places(adapter: ExchangeAdapter) -> int:
    """Return the documented number of fields in a row of candles."""
    read = max(place for place in adapter.rest_row.places().values() if isinstance(place, int)) + 1
    documented = {name: places for name, places in _DOCUMENTED_PLACES.items() if adapter.id.startswith(name)}
    return max(documented.values(), default=read)


async def unknown_symbol(ask: Requester) -> list[Finding]:
    """Check the exchange's response to an unknown symbol."""
    adapter = ask.adapter
    quote = {MarketType.FUTURES_COIN: "USD"}.get(adapter.market_type, "USDT")
    settle = {MarketType.SPOT: None, MarketType.FUTURES_COIN: "NOSUCH"}.get(adapter.market_type, quote)
    end = Interval.MINUTE_1.floor(ask.now())
    try:
        native = adapter.spelled(Instrument("NOSUCH", quote, adapter.market_type, settle))
        request = adapter.candles_request(native, Interval.MINUTE_1, Span(end - 5 * MINUTE, end))
        await ask.send(request, "rest_error", symbol=native)
    except ChandleryError as error:
        return [
            Finding.of(
                "unknown_symbol",
                "InvalidSymbol",
                f"{type(error).__name__}: {error}",
                agrees=isinstance(error, InvalidSymbol),
            )
        ]
    return [Finding.of("unknown_symbol", "InvalidSymbol", "a response without an error", agrees=False)]


async def listing(ask: Requester) -> list[Finding]:
    """Check that listed names survive a round trip through their spelling, and that our example is listed."""
    adapter, cursor = ask.adapter, None
    names, odd, refused, example, script = 0, list[str](), list[str](), False, False
    while True:
        answer = await ask.send(adapter.instruments_request(cursor), "instruments")
        script = script or not answer.body.isascii() or b"\\u" in answer.body
        page_of, cursor = adapter.instruments(answer.body)
        for each in page_of:
            names += 1
            example = example or (each.symbol == ask.symbol and each.status is not ListingStatus.DELISTED)
            if not each.symbol.isascii():
                odd.append(each.symbol)
            if not _comes_back(ask, each.symbol):
                refused.append(each.symbol)
        if cursor is None:
            break
    measured = f"{names} listed" + (f", unusual: {' '.join(odd[:5])}" if odd else "")
    measured += ", other scripts, omitted" if script and not odd else ""
    measured += f", not parsed: {' '.join(refused[:5])}" if refused else ""
    return [
        Finding.of("symbols", "names are ASCII and can be parsed", measured, agrees=not (refused or odd or script)),
        Finding.of("lives", f"{ask.symbol} trades", "listed" if example else "not listed", agrees=example),
    ]


async def funding(ask: Requester) -> list[Finding]:
    """Measure the page size of funding rates, and the funding interval."""
    adapter, declared = ask.adapter, ask.adapter.funding_page_size
    if not declared:
        return []
    span = Span(ask.now() - min(declared * _RATES_EVERY, 60 * DAY), ask.now())
    moments = await _rates(ask, span)
    if not moments:
        return [Finding.of("funding_page_size", declared, "no rate", agrees=None)]
    every = sorted({round((after - before) / HOUR) for before, after in pairwise(moments)})
    measured = " or ".join(f"{hours} h" for hours in every)
    held = [each for each in moments if span.holds(each)]
    # Rates beyond the response are requested separately, one page at a time where pages are numbered.
    before = [] if adapter.funding_by_page else await _rates(ask, Span(span.start, held[0]) if held else span)
    after = [] if adapter.funding_by_page else await _rates(ask, Span(held[-1] + SECOND, span.end) if held else span)
    more = bool(set(before + after) - set(moments)) or adapter.funding_by_page
    cut = more and len(moments) < declared
    return [
        Finding.of(
            "funding_page_size", declared, len(moments) if cut else f"{len(held)} of {len(held)}", agrees=not cut
        ),
        Finding.of("funding_hours", "one interval", measured or "one rate", agrees=len(every) <= 1),
    ]


async def _rates(ask: Requester, span: Span) -> list[Micros]:
    if span.end <= span.start:
        return []
    answer = await ask.send(ask.adapter.funding_request(ask.symbol, span), "funding", symbol=ask.symbol)
    return list(ask.adapter.funding_rows(answer.body).open_time)


def _comes_back(ask: Requester, symbol: str) -> bool:
    try:
        return ask.adapter.symbol(symbol) == symbol
    except InvalidInput:
        return False


def _running(ask: Requester) -> Micros:
    return Interval.MINUTE_1.floor(ask.now())


async def _newest(ask: Requester) -> Micros:
    """Return the close time of the latest one-minute candle of REST."""
    end = _running(ask)
    opens = await ask.opens(Interval.MINUTE_1, Span(end - 45 * MINUTE, end))
    return opens[-1] + MINUTE if opens else end


def _holes(opens: Iterable[Micros], span: Span) -> list[Span]:
    """Return the parts of ``span`` before and after the received candles."""
    known = sorted(opens)
    parts = [Span(span.start, known[0]), Span(known[-1] + MINUTE, span.end)]
    return [part for part in parts if part]


def _declared_depth(ask: Requester) -> int | None:
    """Return the declared number of one-minute candles that are served, including the running one."""
    oldest = ask.adapter.oldest(Interval.MINUTE_1, ask.now())
    return None if oldest is None else (_running(ask) - oldest) // MINUTE + 1


def _depth_text(ask: Requester) -> str:
    declared_depth = _declared_depth(ask)
    return "unlimited" if declared_depth is None else f"{declared_depth} candles"


async def _history_depth(ask: Requester, end: Micros) -> Finding:
    """Measure how far back one-minute candles are served, within some pages."""
    last, pages = end, 1
    while pages <= _FARTHEST:
        at = end - pages * ask.adapter.page_size * MINUTE
        if not await ask.opens(Interval.MINUTE_1, Span(at - 30 * MINUTE, at)):
            break
        last, pages = at, pages * 2
    reached, declared = (_running(ask) - last) // MINUTE, _depth_text(ask)
    if pages > _FARTHEST:
        return Finding.of(
            "memory", declared, f"over {reached} candles", agrees=(_declared_depth(ask) or reached) >= reached
        )
    beyond = (_running(ask) - (end - pages * ask.adapter.page_size * MINUTE)) // MINUTE
    declared_depth = _declared_depth(ask)
    agrees = declared_depth is not None and reached <= declared_depth + _FEW and declared_depth <= beyond + _FEW
    return Finding.of("memory", declared, f"{reached} to {beyond} candles", agrees=agrees)


def _position(body: bytes, moment: Micros) -> int:
    """Return the position of a time in a body, in whichever unit it is written."""
    texts = (str(moment // unit).encode() for unit in (1, 1000, SECOND))
    return next((body.find(text) for text in texts if text in body), -1)


MEASURES: dict[str, Measure] = {
    "clock": clock,
    "lateness": lateness,
    "page": page,
    "order": order,
    "grids": grids,
    "rows": rows,
    "unknown symbol": unknown_symbol,
    "listing": listing,
    "funding": funding,
}
"""Measurements in order; the clock comes first, since the others use it."""
