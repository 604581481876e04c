"""
A thousand clients of each server's feed in one process, which count what they get.

It is told over its standard input to ``begin`` and to ``end``, and tells then, for each server, how many messages
came and how old those to each so many-th client were.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import sys
import time
from dataclasses import dataclass, field

import numpy as np
from service_feed import EXCHANGE, SYMBOL
from service_wire import connected, messages, pong, say

CLIENTS = 1_000
SAMPLED = 10
"""Each so many-th client looks at when its messages were sent."""
_AT_ONCE = 1 << 18
_SENT = b'"sent":'


@dataclass
class Crowd:
    """The clients of one server."""

    received: int = 0
    ages: list[int] = field(default_factory=list)


class Client:
    """One client, which parses no more than it must."""

    def __init__(self, sock: socket.socket, crowd: Crowd, *, sampled: bool) -> None:
        self._sock = sock
        self._crowd = crowd
        self._sampled = sampled
        self._rest = b""

    def take(self) -> None:
        """Count the frames that have come."""
        data = self._sock.recv(_AT_ONCE)
        now = time.monotonic_ns()
        if not data:
            raise SystemExit("a server has closed a connection")
        if self._rest:
            data = self._rest + data
        at, size = 0, len(data)
        while size - at >= 4:
            length, head = data[at + 1], 2
            if length == 126:
                length, head = data[at + 2] << 8 | data[at + 3], 4
            end = at + head + length
            if end > size:
                break
            if data[at] == 0x81:
                self._crowd.received += 1
                # A gap, as before the first book, does not say when it was sent.
                if self._sampled and (found := data.rfind(_SENT, at, end)) >= 0:
                    self._crowd.ages.append(now - int(data[found + len(_SENT) : end - 2]))
            else:
                pong(self._sock, data[at + head : end])
            at = end
        self._rest = data[at:] if at < size else b""


def main() -> None:
    """Connect, then count."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ports = json.loads(sys.argv[1])
    crowds = {name: Crowd() for name in ports}
    waiting = select.epoll()
    clients: dict[int, Client] = {}
    for name, port in ports.items():
        for number in range(CLIENTS):
            sock = _subscribed(port, ours=name == "ours")
            clients[sock.fileno()] = Client(sock, crowds[name], sampled=number % SAMPLED == 0)
            waiting.register(sock, select.EPOLLIN)
    waiting.register(0, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for number, _ in waiting.poll():
            if number in clients:
                clients[number].take()
            elif not (said := os.read(0, 100)):
                return
            else:
                _obey(said, crowds)


def _obey(said: bytes, crowds: dict[str, Crowd]) -> None:
    told = {}
    for name, crowd in crowds.items():
        if said.startswith(b"end") and crowd.ages:
            median, late = np.percentile(crowd.ages, [50, 99]) / 1e6
            told[name] = {"received": crowd.received, "median_ms": median, "p99_ms": late}
        crowd.received = 0
        crowd.ages.clear()
    print(json.dumps(told), flush=True)


def _subscribed(port: int, *, ours: bool) -> socket.socket:
    sock = connected(port, "/v1/ws" if ours else "/ws")
    if ours:
        for channel in ("book", "candles"):
            say(sock, {"type": "subscribe", "channel": channel, "exchange": EXCHANGE, "symbol": SYMBOL})
        answers = messages(sock)
        for _ in range(2):
            if b'"subscribed"' not in bytes(next(answers)):
                raise SystemExit("not subscribed")
    return sock


if __name__ == "__main__":
    main()
