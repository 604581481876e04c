"""What clients say over the socket."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import require_symbol

Id: TypeAlias = str | int | None
"""Whatever the client wants to find in the answers to its message."""


class SymbolName(str):
    """A symbol, of which whatever can be none is refused as the library refuses it."""

    __slots__ = ()


_Symbol: TypeAlias = Annotated[SymbolName, Meta(extra_json_schema={"type": "string"})]


class _Message(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Auth(_Message, frozen=True, tag="auth"):
    """A token, the first or a newer one."""

    token: str
    id: Id = None


class Subscribe(_Message, frozen=True, tag="subscribe"):
    """Tell of a series from now on; ``channel`` is ``book`` or ``candles``."""

    channel: str
    exchange: str
    symbol: _Symbol
    interval: str | None = None
    id: Id = None


class Unsubscribe(_Message, frozen=True, tag="unsubscribe"):
    """Tell of it no more."""

    channel: str
    exchange: str
    symbol: _Symbol
    interval: str | None = None
    id: Id = None


class RequestHistorical(_Message, frozen=True, tag="request_historical"):
    """
    Send the past of a series, in chunks; ``follow`` goes on with what is live.

    Without ``end``, until now. ``format`` is ``json`` or ``arrow``.
    """

    exchange: str
    symbol: _Symbol
    start: str | int
    end: str | int | None = None
    interval: str | None = None
    channel: str = "candles"
    format: str = "json"
    follow: bool = False
    id: Id = None


class MostCurrent(_Message, frozen=True, tag="most_current"):
    """Send the latest of a series."""

    exchange: str
    symbol: _Symbol
    channel: str = "candles"
    interval: str | None = None
    id: Id = None


class Ping(_Message, frozen=True, tag="ping"):
    """Answer with a pong."""

    id: Id = None


Message: TypeAlias = Auth | Subscribe | Unsubscribe | RequestHistorical | MostCurrent | Ping


def _symbol(kind: type, value: Any) -> Any:
    """The one kind that JSON does not have."""
    return kind(require_symbol(value))


_decoder = msgspec.json.Decoder(Message, dec_hook=_symbol)


class _Envelope(Struct):
    id: Id = None
    type: str | None = None


_envelope = msgspec.json.Decoder(_Envelope)


def parsed(text: str) -> Message:
    """
    The message of a text.

    Raises:
        InvalidInput: It is none; the message says what is wrong.
    """
    try:
        message: Message = _decoder.decode(text)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidInput(f"not a message: {error}{_fields_of(text)}; see docs/service.md") from None
    return message


def _fields_of(text: str) -> str:
    """What the kind of message that a text means to be takes; nothing where that cannot be told."""
    try:
        meant = _envelope.decode(text).type
    except (msgspec.MsgspecError, RecursionError):
        return ""
    kind = next((each for each in get_args(Message) if each.__struct_config__.tag == meant), None)
    return "" if kind is None else f"; {meant} takes {', '.join(kind.__struct_fields__)}"


def id_of(text: str) -> Id:
    """The ``id`` of a text that is no message, so that its sender knows which one was meant."""
    try:
        return _envelope.decode(text).id
    except (msgspec.MsgspecError, RecursionError):
        return None
