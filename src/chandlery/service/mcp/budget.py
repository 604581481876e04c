"""How long an answer may be: whoever reads it has room for a number of tokens, not for a year of candles."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

TOKEN_BUDGET = 8_000
"""What no answer exceeds, in tokens of four bytes, counted as it is sent: as structure and as text."""
_BYTES_A_TOKEN = 4
ENVELOPE_TOKENS = 600
"""For what is sent around an answer: addresses and names among it, in any letters."""

_T = TypeVar("_T")
_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


def tokens_of(sent: str | bytes) -> int:
    """The estimate of how many tokens a text is."""
    size = len(sent.encode() if isinstance(sent, str) else sent)
    return -(-size // _BYTES_A_TOKEN)


def cost_of(answer: BaseModel) -> int:
    """The tokens of an answer that is sent as structure and, for those who read no structure, as text."""
    content: dict[str, Any] = answer.model_dump(mode="json")
    return tokens_of(json.dumps(content)) + tokens_of(json.dumps(json.dumps(content))) + ENVELOPE_TOKENS


def longest(most: int, build: Callable[[int], _T], cost: Callable[[_T], int]) -> _T:
    """What ``build`` makes of the greatest number, from 0 to ``most``, with which it is within the budget."""
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
    """The same of answers."""
    return longest(most, build, cost_of)


def after(rows: Sequence[_T], key: Callable[[_T], str], cursor: str | None) -> list[_T]:
    """The rows, ordered by their key, that come after the one whose key is the ``cursor``."""
    return sorted((row for row in rows if cursor is None or key(row) > cursor), key=key)


def clipped(text: str, length: int = 200) -> str:
    """The beginning of a text that may be long: at most so many bytes as it is sent."""
    if len(json.dumps(text)) <= length:
        return text
    kept = text[:length]
    while len(json.dumps(kept)) > length - 3:
        kept = kept[:-1]
    return f"{kept}..."
