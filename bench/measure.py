"""Times, interleaved, and what they are held against."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


def interleaved(
    works: Mapping[str, Callable[[], Any]], rounds: int, before: Callable[[], None] = gc.collect
) -> dict[str, float]:
    """The median seconds of each work, done A B C A B C …, each after ``before``, after one round that does not count."""
    taken: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            before()
            began = time.perf_counter()
            result = work()
            if number:
                taken[name].append(time.perf_counter() - began)
            del result
    return {name: statistics.median(each) for name, each in taken.items()}


@dataclass
class Ratio:
    """One figure and its target, which is the most that it may be, or the ``least``."""

    name: str
    value: float
    target: float
    least: bool = False

    @property
    def met(self) -> bool:
        return self.value >= self.target if self.least else self.value <= self.target

    def __str__(self) -> str:
        bound = f"at {'least' if self.least else 'most'}"
        return f"{self.name:<58} {self.value:6.2f}   {bound:<8} {self.target:4.2f}   {'PASS' if self.met else 'FAIL'}"
