"""How long answers may be."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from chandlery.service.mcp.budget import TOKEN_BUDGET, after, clipped, cost_of, longest_answer, tokens_of


class Words(BaseModel):
    """An answer."""

    words: list[str]


@given(st.lists(st.text(max_size=400), max_size=200))
def test_an_answer_is_the_longest_that_is_within_the_budget(words):
    """Not one more would be."""
    found = longest_answer(len(words), lambda count: Words(words=words[:count]))

    count = len(found.words)
    assert cost_of(found) <= TOKEN_BUDGET
    assert count == len(words) or cost_of(Words(words=words[: count + 1])) > TOKEN_BUDGET


def test_tokens_are_bytes_by_four():
    """Rounded up."""
    assert [0, 1, 1, 2, 1] == [tokens_of(text) for text in ("", "a", "abcd", "abcde", "é")]


@given(st.text(max_size=500), st.integers(20, 300))
def test_clipped_texts_are_short_as_they_are_sent(text, length):
    """Whatever they are made of."""
    found = clipped(text, length)

    assert len(json.dumps(found)) <= length
    assert found == text or found.endswith("...")


def test_what_comes_after_a_cursor():
    """In order, also where the one of the cursor is gone."""
    assert ["c", "d"] == after(["d", "a", "c"], str, "b")
    assert ["a", "c", "d"] == after(["d", "a", "c"], str, None)
