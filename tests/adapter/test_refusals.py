"""Refusals in answers: where their code and words stand, and the error of each."""

from __future__ import annotations

import pytest

from chandlery.adapter.refusals import Refusal, Refusals
from chandlery.adapter.registry import ExchangeRegistry
from chandlery.core.errors import ExchangeUnavailable, InvalidSymbol, RateLimited, RequestRejected
from chandlery.core.http import Response

PLACES = Refusals("code", ("msg", "detail"), fine=(0, "00"), least_status=400)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (400, b'{"code":-5,"msg":"no"}', Refusal(-5, "no")),
        (500, b'{"code":"E1","msg":"no","detail":"never"}', Refusal("E1", "no never")),
        (400, b'{"code":1,"msg":"no","detail":"no"}', Refusal(1, "no")),
        (400, b'{"code":1}', Refusal(1, "")),
        (400, b'{"code":0,"msg":"fine"}', None),
        (400, b'{"code":"00"}', None),
        (399, b'{"code":-5,"msg":"no"}', None),
        (400, b'{"msg":"no"}', None),
        (400, b"[]", None),
        (400, b"<html>", None),
        (400, b'{"code":[1]}', None),
    ],
)
def test_code_and_words_are_found(status, body, found):
    """Words that are there are joined, once each; what is fine, or something else altogether, refuses nothing."""
    assert found == PLACES.find(Response(status, {}, body))


@pytest.mark.parametrize(
    ("code", "kind"),
    [("50011", RateLimited), ("50001", ExchangeUnavailable), ("51001", InvalidSymbol), ("51000", RequestRejected)],
)
def test_a_code_says_which_error_it_is(code, kind):
    """Passing, unknown, or any other refusal; each has the exchange, its words and its code."""
    error = ExchangeRegistry.create("okx_spot").refused("these words", code=code)

    assert kind is type(error)
    assert "okx_spot" in str(error)
    assert "these words" in str(error)
