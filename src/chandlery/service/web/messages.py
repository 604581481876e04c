"""Messages of clients over the WebSocket."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import require_symbol

Id: TypeAlias = str | int | None
"""Correlation id that responses to a message repeat."""


class SymbolName(str):
    """Symbol; invalid ones are refused as in the library."""

    __slots__ = ()


_Symbol: TypeAlias = Annotated[SymbolName, Meta(extra_json_schema={"type": "string"})]


class _Message(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Auth(_Message, frozen=True, tag="auth"):
    """Authenticate with a token, also to renew it."""

    token: str
    id: Id = None


class Subscribe(_Message, frozen=True, tag="subscribe"):
    """
    Subscribe to a series; ``channel`` is ``book``, ``candles:1m``, or ``candles`` with an ``interval``.

    ``market`` is needed where the symbol does not name it: ``spot``, ``linear``, ``inverse``.
    """

    channel: str
    exchange: str
    symbol: _Symbol
    interval: str | None = None
    market: str | None = None
    id: Id = None


class Unsubscribe(_Message, frozen=True, tag="unsubscribe"):
    """Unsubscribe from a series."""

    channel: str
    exchange: str
    symbol: _Symbol
    interval: str | None = None
    market: str | None = None
    id: Id = None


class RequestHistorical(_Message, frozen=True, tag="request_historical"):
    """
    Request historical data of a series in chunks; ``follow`` continues with live updates.

    ``end`` defaults to now. ``format`` is ``json`` or ``arrow``.
    """

    exchange: str
    symbol: _Symbol
    start: str | int
    end: str | int | None = None
    interval: str | None = None
    channel: str = "candles"
    format: str = "json"
    follow: bool = False
    market: str | None = None
    id: Id = None


class MostCurrent(_Message, frozen=True, tag="most_current"):
    """Request the latest data of a series."""

    exchange: str
    symbol: _Symbol
    channel: str = "candles"
    interval: str | None = None
    market: str | None = None
    id: Id = None


class Ping(_Message, frozen=True, tag="ping"):
    """Request a pong."""

    id: Id = None


Message: TypeAlias = Auth | Subscribe | Unsubscribe | RequestHistorical | MostCurrent | Ping


def _symbol(kind: type, value: Any) -> Any:
    """Decode the one type that JSON does not have."""
    return kind(require_symbol(value))


_decoder = msgspec.json.Decoder(Message, dec_hook=_symbol)


class _Envelope(Struct):
    id: Id = None
    type: str | None = None


_envelope = msgspec.json.Decoder(_Envelope)


def parsed(text: str) -> Message:
    """
    Parse a message.

    Raises:
        InvalidInput: The text is not a message; the error says why.
    """
    try:
        message: Message = _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"not a message: {error}{_fields_of(text)}; see docs/service.md") from None
    return message


def _fields_of(text: str) -> str:
    """Return the fields of the intended kind of message; empty if the kind is unknown."""
    try:
        meant = _envelope.decode(text).type
    except (msgspec.MsgspecError, RecursionError):
        return ""
    kind = next((each for each in get_args(Message) if each.__struct_config__.tag == meant), None)
    return "" if kind is None else f"; {meant} has the fields {', '.join(kind.__struct_fields__)}"


def id_of(text: str) -> Id:
    """Return the ``id`` of an invalid message, so that the client can match the error."""
    try:
        return _envelope.decode(text).id
    except (msgspec.MsgspecError, RecursionError):
        return None
