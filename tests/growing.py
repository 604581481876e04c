"""How the cost of something grows with its size."""

from __future__ import annotations

import gc
import math
import sys
import time
from itertools import pairwise

MOST = 1.1
"""The exponent of growth that is still called a straight line."""


def exponents(costs):
    """By which power the cost grows from each size to the next; ``costs`` are by size."""
    sizes = sorted(costs)
    return [
        math.log(max(costs[more], 1e-9) / max(costs[less], 1e-9)) / math.log(more / less)
        for less, more in pairwise(sizes)
    ]


def operations(work):
    """How many operations of the interpreter a call takes: the same on every machine and at every run, but without what is done in C."""
    count = 0

    def traced(frame, event, _):
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        count += event == "opcode"
        return traced

    before = sys.gettrace()
    sys.settrace(traced)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def seconds(work, repeat=3):
    """The least processor time of a few calls; garbage waits until they are over."""
    gc.collect()
    gc.disable()
    try:
        return min(_once(work) for _ in range(repeat))
    finally:
        gc.enable()


def _once(work):
    began = time.process_time()
    work()
    return time.process_time() - began
