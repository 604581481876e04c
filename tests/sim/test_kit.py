"""What wires repeat."""

from __future__ import annotations

import pytest

from chandlery.sim.kit import Refused, routed, whole
from chandlery.sim.reply import json_reply
from chandlery.sim.wire import SimRequest


def test_whole_numbers_of_a_query():
    """Absent is nothing; anything else is refused in the words that were given."""
    refusal = Refused("limit", "invalid")

    assert whole({}, "limit", refusal) is None
    assert 7 == whole({"limit": "7"}, "limit", refusal)
    for text in ("", "-1", "1.5", "٣", "x"):
        with pytest.raises(Refused) as refused:
            whole({"limit": text}, "limit", refusal)
        assert ("limit", "invalid") == refused.value.args


def test_paths_lead_to_answers():
    """By GET alone; content is wrapped, a refusal worded by the exchange, and of an unknown path there is nothing."""

    def double(query):
        return 2 * (whole(query, "n", Refused("n", "invalid")) or 0)

    def ask(method, path, **query):
        request = SimRequest(method, path, query, {}, b"")
        return routed(
            {"/double": double}, request, lambda data: {"data": data}, lambda *said: json_reply({"said": said}, 400)
        )

    assert json_reply({"data": 14}) == ask("GET", "/double", n="7")
    assert json_reply({"said": ["n", "invalid"]}, 400) == ask("GET", "/double", n="x")
    assert ask("POST", "/double", n="7") is None
    assert ask("GET", "/triple", n="7") is None
