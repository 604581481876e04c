"""What a connection and a throttled call cost over a bare lock, and whether exchanges wait for each other."""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
import timeit
from pathlib import Path

from measure import Ratio

from chandlery import PublicExchangeManager, Settings
from chandlery.net.limiter import RateLimiter

EXCHANGES = ["binance", "kraken", "kucoin", "gate", "okx", "bybit", "mexc", "htx"]
CALLS = 10
PAUSE_S = 0.1
_LOOPS = 20_000


def connections(rounds: int) -> list[Ratio]:
    """Connecting, throttling, and eight exchanges at once."""
    with tempfile.TemporaryDirectory() as folder:
        limiter = RateLimiter(Path(folder))
        manager = PublicExchangeManager(settings=Settings.of(None), limiter=limiter, request_pause=0)
        exchanges = [manager.connect_to_exchange_with_no_credentials(each) for each in EXCHANGES]
        costs = _costs(manager, exchanges[0], rounds)
        manager.request_pause = PAUSE_S
        alone = statistics.median(_seconds(manager, exchanges[:1]) for _ in range(3))
        together = statistics.median(_seconds(manager, exchanges) for _ in range(3))
        manager.close()
    nanos = ", ".join(f"{name} {cost * 1e9:.0f}" for name, cost in costs.items())
    print(f"connections: nanoseconds: {nanos}; ten calls: one exchange {alone:.3f} s, eight {together:.3f} s\n")
    return [
        Ratio("cached acquire + release / bare lock + counter", costs["acquire"] / costs["counter"], 2.0),
        Ratio("throttled_call without a pause adds / lock + monotonic", costs["throttle"] / costs["clock"], 2.0),
        Ratio("eight exchanges x 10 calls at 0.1 s / one exchange's 10", together / alone, 1.15),
    ]


def _costs(manager, exchange, rounds: int) -> dict[str, float]:
    """Median seconds a call of each, the empty call taken off; measured in turns."""
    lock = threading.Lock()
    count = 0
    call = exchange.nonce

    def counter():
        nonlocal count
        with lock:
            count += 1
        with lock:
            count -= 1

    def acquire():
        manager.connect_to_exchange_with_no_credentials("binance")
        manager.release_exchange("binance")

    def clock():
        with lock:
            time.monotonic()

    contenders = {
        "empty": lambda: None,
        "counter": counter,
        "acquire": acquire,
        "clock": clock,
        "direct": lambda: call(),  # noqa: PLW0108  # called as the others are
        "throttled": lambda: manager.throttled_call(call),
    }
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            times[name].append(timeit.timeit(contender, number=_LOOPS) / _LOOPS)
    medians = {name: statistics.median(each) for name, each in times.items()}
    return {
        "counter": medians["counter"] - medians["empty"],
        "acquire": medians["acquire"] - medians["empty"],
        "clock": medians["clock"] - medians["empty"],
        "throttle": medians["throttled"] - medians["direct"],
    }


def _seconds(manager, exchanges) -> float:
    """How long ten calls to each exchange take, one thread an exchange."""

    def calls(exchange):
        for _ in range(CALLS):
            manager.throttled_call(exchange.nonce)

    threads = [threading.Thread(target=calls, args=(exchange,)) for exchange in exchanges]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began
