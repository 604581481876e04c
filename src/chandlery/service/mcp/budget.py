"""Token budget of an answer, since a model's context is limited."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

TOKEN_BUDGET = 8_000
"""Maximum size of an answer in tokens of four bytes, counted as sent: as structured content and as text."""
_BYTES_A_TOKEN = 4
ENVELOPE_TOKENS = 600
"""Allowance for the envelope of an answer: addresses and names, in any script."""

_T = TypeVar("_T")
_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


def tokens_of(sent: str | bytes) -> int:
    """Estimate the number of tokens of a text."""
    size = len(sent.encode() if isinstance(sent, str) else sent)
    return -(-size // _BYTES_A_TOKEN)


def cost_of(answer: BaseModel) -> int:
    """Return the tokens of an answer, sent as structured content and, for clients without support for it, as text."""
    content: dict[str, Any] = answer.model_dump(mode="json")
    return tokens_of(json.dumps(content)) + tokens_of(json.dumps(json.dumps(content))) + ENVELOPE_TOKENS


def longest(most: int, build: Callable[[int], _T], cost: Callable[[_T], int]) -> _T:
    """Return ``build(n)`` for the greatest ``n`` from 0 to ``most`` that fits the budget."""
    whole = build(most)
    if most == 0 or cost(whole) <= TOKEN_BUDGET:
        return whole
    fits, too_long = 0, most
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if cost(build(middle)) <= TOKEN_BUDGET:
            fits = middle
        else:
            too_long = middle
    return build(fits)


def longest_answer(most: int, build: Callable[[int], _AnswerT]) -> _AnswerT:
    """Return the answer for the greatest ``n`` from 0 to ``most`` that fits the budget."""
    return longest(most, build, cost_of)


def after(rows: Sequence[_T], key: Callable[[_T], str], cursor: str | None) -> list[_T]:
    """Return the rows, sorted by key, after the one whose key is ``cursor``."""
    return sorted((row for row in rows if cursor is None or key(row) > cursor), key=key)


def clipped(text: str, length: int = 200) -> str:
    """Truncate a text to a maximum number of bytes as sent."""
    if len(json.dumps(text)) <= length:
        return text
    kept = text[:length]
    while len(json.dumps(kept)) > length - 3:
        kept = kept[:-1]
    return f"{kept}..."
