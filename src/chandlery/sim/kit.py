"""Shared parts of wires: refusals, integers in queries, and routing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.wire import SimRequest


class Refused(Exception):  # not a program error, but a response
    """Refusal of a request; the arguments are those of the exchange's response."""


def whole(query: Mapping[str, str], name: str, refusal: Refused) -> int | None:
    """
    Parse an integer parameter; ``None`` if it is absent.

    Raises:
        Refused: It is not an integer: ``refusal``.
    """
    text = query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise refusal
    return int(text)


def routed(
    paths: Mapping[str, Callable[[Mapping[str, str]], Any]],
    request: SimRequest,
    fine: Callable[[Any], Any],
    refuse: Callable[..., Reply],
) -> Reply | None:
    """
    Answer a GET with the handler of its path, whose content ``fine`` wraps; ``None`` without a handler.

    ``refuse`` builds the reply from the arguments of a ``Refused``.
    """
    handler = paths.get(request.path)
    if handler is None or request.method != "GET":
        return None
    try:
        return json_reply(fine(handler(request.query)))
    except Refused as refused:
        return refuse(*refused.args)
