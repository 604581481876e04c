"""The frames that the live benchmarks send: Binance spot klines and depth updates, in the format in which they were recorded."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path

from chandlery.core.instrument import MarketType
from chandlery.sim.book import SyntheticBook, tick_of
from chandlery.sim.market import SyntheticMarket

RECORDED = Path(__file__).resolve().parent.parent.parent / "shared/recorded/hftbacktest/spot/btcusdt_20240808.gz"
SYMBOL = "BTCUSDT"
NOW_MS = int(datetime(2025, 2, 1, tzinfo=UTC).timestamp()) * 1000
"""What time it is at the exchange; the first live candle opens then."""
WARM_UP = 300
"""So many frames come slowly, before what is measured."""
_PER_CANDLE = 100
"""How many frames tell of a candle; the last one closes it. So 140,000 frames are within a day, and none is too early."""
_MADE_UP = 3000

Levels = list[list[str]]


@dataclass
class Channel:
    """All frames of one stream; ``begin`` and ``end`` are where they stand after the warm-up, and with the last one."""

    name: str
    texts: list[str]
    begin: int
    end: int

    def frames(self, *, combined: bool) -> list[bytes]:
        """As a server sends them; ``combined`` with the name of the stream around each."""
        if combined:
            return [_frame(f'{{"stream":"{self.name}","data":{text}}}') for text in self.texts]
        return [_frame(text) for text in self.texts]


def _frame(text: str) -> bytes:
    payload = text.encode()
    size = len(payload)
    if size < 126:
        return struct.pack(">BB", 0x81, size) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", 0x81, 126, size) + payload
    return struct.pack(">BBQ", 0x81, 127, size) + payload


def klines(count: int) -> Channel:
    """Candles of a minute, told of by 100 frames each; their position is the open in milliseconds. The last opens a new one."""
    dice = random.Random(7)
    texts, price, at = [], 61837.64, NOW_MS
    count = count // _PER_CANDLE * _PER_CANDLE
    while len(texts) < count:
        opened = high = low = price
        volume = taker = quote = taker_quote = 0.0
        trades = dice.randrange(10**6)
        for number in range(1, _PER_CANDLE + 1):
            price = round(price + dice.gauss(0, 2), 2)
            high, low = max(high, price), min(low, price)
            size, part = dice.expovariate(4) + 0.00001, dice.random()
            volume, quote = volume + size, quote + size * price
            taker, taker_quote = taker + size * part, taker_quote + size * part * price
            closed = number == _PER_CANDLE
            texts.append(
                f'{{"e":"kline","E":{at + number * 599},"s":"{SYMBOL}","k":{{"t":{at},"T":{at + 59999},"s":"{SYMBOL}",'
                f'"i":"1m","f":{trades},"L":{trades + number * 40},"o":"{opened:.8f}","c":"{price:.8f}","h":"{high:.8f}",'
                f'"l":"{low:.8f}","v":"{volume:.8f}","n":{number * 40},"x":{"true" if closed else "false"},'
                f'"q":"{quote:.8f}","V":"{taker:.8f}","Q":"{taker_quote:.8f}","B":"0"}}}}'
            )
        at += 60_000
    last = texts[-_PER_CANDLE].replace(str(at - 60_000), str(at)).replace(str(at - 1), str(at + 59_999))
    return Channel(f"{SYMBOL.lower()}@kline_1m", [*texts, last], NOW_MS + WARM_UP // _PER_CANDLE * 60_000, at)


def depth(count: int) -> tuple[Channel, str]:
    """
    Book updates, whose position is ``u``, and the snapshot before the first.

    They are what was recorded, forward and then backward, over and over: every state of the book is
    one that there was, the sizes of the messages are real, and the ids follow each other.
    """
    bids, asks, recorded = _recorded() if RECORDED.is_file() else _made_up()
    last = 50_093_239_218
    snapshot = json.dumps({"lastUpdateId": last, "bids": bids, "asks": asks}, separators=(",", ":"))
    texts, begin = [], 0
    for (bid_text, ask_text, changes), number in zip(
        cycle(_there_and_back(dict(bids), dict(asks), recorded)), range(count), strict=False
    ):
        begin = last + changes if number == WARM_UP else begin
        texts.append(
            f'{{"e":"depthUpdate","E":{NOW_MS + number * 100},"s":"{SYMBOL}","U":{last + 1},"u":{last + changes},'
            f'"b":{bid_text},"a":{ask_text}}}'
        )
        last += changes
    return Channel(f"{SYMBOL.lower()}@depth@100ms", texts, begin, last), snapshot


def _there_and_back(
    bids: dict[str, str], asks: dict[str, str], updates: list[tuple[Levels, Levels]]
) -> list[tuple[str, str, int]]:
    """The bids and asks of each update as text, and how many levels it has; then what undoes them."""
    there, back = [], []
    for update in updates:
        undone = [_undone(side, levels) for side, levels in zip((bids, asks), update, strict=True)]
        there.append(_texts(*update))
        back.append(_texts(*undone))
    return there + back[::-1]


def _undone(side: dict[str, str], levels: Levels) -> Levels:
    undone = [[price, side.get(price, "0.00000000")] for price, _ in levels]
    side.update((price, size) for price, size in levels)
    return undone


def _texts(bids: Levels, asks: Levels) -> tuple[str, str, int]:
    return json.dumps(bids, separators=(",", ":")), json.dumps(asks, separators=(",", ":")), len(bids) + len(asks)


def _recorded() -> tuple[Levels, Levels, list[tuple[Levels, Levels]]]:
    """The snapshot and the updates after it."""
    updates, snapshot = [], {}
    for message in _messages():
        if "lastUpdateId" in message:
            snapshot = message
        elif "@depth" in message.get("stream", ""):
            updates.append(message["data"])
    known = snapshot["lastUpdateId"]
    later = [(each["b"], each["a"]) for each in updates if each["u"] > known and (each["b"] or each["a"])]
    return snapshot["bids"], snapshot["asks"], later


def _messages() -> Iterator[dict]:
    with gzip.open(RECORDED, "rt") as lines:
        for line in lines:
            yield json.loads(line.split(" ", 1)[1])


def _made_up() -> tuple[Levels, Levels, list[tuple[Levels, Levels]]]:
    """The same of the offline exchange's market, where there is no recording."""
    book = SyntheticBook(SyntheticMarket(7), MarketType.SPOT, SYMBOL, levels=500)
    first = tick_of(NOW_MS * 1000)
    state = book.at(first)
    changes = (book.changes(tick, tick + 1) for tick in range(first, first + _MADE_UP))
    updates = [([list(each) for each in bids], [list(each) for each in asks]) for bids, asks in changes]
    return (
        [list(each) for each in state.bids],
        [list(each) for each in state.asks],
        [each for each in updates if any(each)],
    )
