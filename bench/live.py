"""Live candles and books against what others install: chandlery, picows by hand, cryptofeed and ccxt.pro."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from blaster import blasting
from measure import Ratio

PROJECT = Path(__file__).resolve().parent.parent
PEERS = PROJECT / ".venv-bench/bin/python"
"""The interpreter that has the peers; nothing else of the project runs in it."""
OURS = ("bare", "chandlery")
WORKS = {
    "candles": ("kline frames into a callback", ("bare", "chandlery", "cryptofeed", "ccxt")),
    "book": ("depth updates into a book", ("bare", "chandlery", "cryptofeed", "ccxt")),
    "top": ("the same, and the best 20 of both sides after each", ("chandlery", "cryptofeed", "ccxt")),
}
NAMES = {
    "bare": "picows + msgspec by hand",
    "chandlery": "chandlery",
    "cryptofeed": "cryptofeed",
    "ccxt": "ccxt.pro",
}


@dataclass
class Taken:
    """What the runs of one client took, in microseconds a frame."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)


def live(rounds: int, frames: int) -> list[Ratio]:
    """Each work by each client, in turns, ``rounds`` times; ratios are of processor time."""
    if not PEERS.is_file():
        raise SystemExit("the peers are not installed; make bench installs them into .venv-bench")
    taken = {work: {name: Taken() for name in clients} for work, (_, clients) in WORKS.items()}
    print(f"live: {frames:,} frames by each client, medians of {rounds} rounds, in microseconds a frame")
    with blasting(frames) as plan:
        for _ in range(rounds):
            for work, clients in taken.items():
                said = {name: _run(name, work, plan) for name in clients}
                _same(work, said)
                for name, each in said.items():
                    clients[name].cpu.append(each["cpu"] / frames * 1e6)
                    clients[name].wall.append(each["wall"] / frames * 1e6)
                    clients[name].seen.append(each["seen"])
    for work, clients in taken.items():
        _notify(work, clients)
    return _ratios(
        {work: {name: statistics.median(each.cpu) for name, each in of.items()} for work, of in taken.items()}
    )


def _run(name: str, work: str, plan: dict) -> dict:
    python = sys.executable if name in OURS else str(PEERS)
    command = [python, str(Path(__file__).with_name("peers.py")), name, work, json.dumps(plan)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed at {work}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _same(work: str, said: dict[str, dict]) -> None:
    """Nothing is compared that has not come to the same end."""
    results = {name: each["result"] for name, each in said.items()}
    if any(result != results["chandlery"] for result in results.values()):
        raise SystemExit(f"the clients disagree at {work}: {results}")


def _notify(work: str, clients: dict[str, Taken]) -> None:
    print(f"\n{WORKS[work][0]}")
    own = statistics.median(clients["chandlery"].cpu)
    for name, each in clients.items():
        cpu = statistics.median(each.cpu)
        print(
            f"  {NAMES[name]:<26} {cpu:8.2f} CPU ({min(each.cpu):.2f} to {max(each.cpu):.2f})"
            f" {statistics.median(each.wall):8.2f} wall   x {cpu / own:5.2f}"
            f"   {statistics.median(each.seen):12,.0f} updates seen"
        )


def _ratios(cpu: dict[str, dict[str, float]]) -> list[Ratio]:
    candles, book, top = cpu["candles"], cpu["book"], cpu["top"]
    return [
        Ratio("kline to a candle / picows + msgspec", candles["chandlery"] / candles["bare"], 1.5),
        Ratio(
            "kline to a candle, times faster than cryptofeed",
            candles["cryptofeed"] / candles["chandlery"],
            4,
            least=True,
        ),
        Ratio("kline to a candle, times faster than ccxt.pro", candles["ccxt"] / candles["chandlery"], 8, least=True),
        Ratio("book update / picows + msgspec + dict", book["chandlery"] / book["bare"], 1.4),
        Ratio("book update, times faster than cryptofeed", book["cryptofeed"] / book["chandlery"], 5, least=True),
        Ratio("book update, times faster than ccxt.pro", book["ccxt"] / book["chandlery"], 5, least=True),
        Ratio(
            "top 20 after each, times faster than the faster of them",
            min(top["cryptofeed"], top["ccxt"]) / top["chandlery"],
            2.5,
            least=True,
        ),
    ]
