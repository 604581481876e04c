"""What repeats in wires: refusals, whole numbers in queries, and the way from a path to its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chandlery.sim.reply import Reply, json_reply
from chandlery.sim.wire import SimRequest


class Refused(Exception):  # it is no error of the program, but an answer
    """A request is refused; the arguments are what the exchange says."""


def whole(query: Mapping[str, str], name: str, refusal: Refused) -> int | None:
    """
    Read a parameter that is a whole number; ``None`` where it was not sent.

    Raises:
        Refused: It is something else: ``refusal``.
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
    Answer a GET by the handler of its path, whose content ``fine`` wraps; ``None`` where there is no handler.

    ``refuse`` makes the reply of the arguments of a ``Refused``.
    """
    handler = paths.get(request.path)
    if handler is None or request.method != "GET":
        return None
    try:
        return json_reply(fine(handler(request.query)))
    except Refused as refused:
        return refuse(*refused.args)
