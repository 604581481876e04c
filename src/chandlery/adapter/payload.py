"""Typed parsing of JSON payloads, by path, with our errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache, reduce
from typing import Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import Meta, inspect

from chandlery.core.errors import MalformedResponse
from chandlery.core.time import Micros, Unit

LATEST: Micros = 9_214_646_400_000_000
"""2262-01-01: frames count nanoseconds in 64 bits, which overflow in April of that year."""

Millis = Annotated[int, Meta(ge=0, le=LATEST // Unit.MILLIS.value)]
"""A time in milliseconds."""
Seconds = Annotated[int, Meta(ge=0, le=LATEST // Unit.SECONDS.value)]
"""A time in seconds."""

Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""An integer that fits into 64 bits, as in the database and in frames."""
_LARGEST = 1e300
Finite = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
"""A number that is neither infinite nor NaN."""

_T = TypeVar("_T")


def sent_at(value: int | None, nanos: int = 1_000_000) -> Micros | None:
    """
    Convert the optional time of sending of a message from milliseconds, or from units of so many ``nanos``.

    Raises:
        MalformedResponse: It is outside of the valid range.
    """
    if value is None:
        return None
    at = value * nanos // 1000
    if not 0 <= at <= LATEST:
        raise MalformedResponse(f"{value} is not a valid time")
    return at


def batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """Split items into groups of at most ``size``."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def step_of(digits: int | None) -> float | None:
    """Return the step of numbers with so many decimals; ``None`` for ``None``."""
    return None if digits is None else float(f"1e{-digits}")


def reader(kind: type[_T], *path: str, what: str) -> Callable[[bytes], _T]:
    """
    Return a parser of ``kind`` from a JSON body, below the keys of ``path``; number strings count as numbers.

    Rows may have more places than its tuples, and may lack unused ones at their ends, which are ``Any``.
    The parser raises ``MalformedResponse``, which names ``what``, if the body does not match. Since exchanges can send numbers
    of any size, each number of ``kind`` must be bounded, like ``Whole`` and ``Finite``, so that it fits the database and frames.

    Raises:
        TypeError: A number is unbounded.
    """
    whole: Any = kind
    if unbounded := [*_unbounded(inspect.type_info(whole), set())]:
        raise TypeError(f"{what}: {', '.join(unbounded)} must be bounded; write Whole, Finite, or a moment")
    for key in reversed(path):
        whole = msgspec.defstruct("Envelope", [("held", whole)], rename={"held": key})
    decoder = msgspec.json.Decoder(whole, strict=False)

    def read(body: bytes) -> _T:
        try:
            value: Any = decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            value = _decode_cut_rows(body, decoder)
            if value is None:
                raise MalformedResponse(f"not {what}: {error}; it begins {bytes(body[:80])!r}") from error
        for _ in path:
            value = value.held
        return value  # type: ignore[no-any-return]  # decoded as the requested type

    return read


def _unbounded(kind: inspect.Type, seen: set[type], place: str = "it") -> Iterator[str]:
    """Yield the places of ``kind`` with unbounded numbers."""
    if (isinstance(kind, inspect.IntType) and (_least(kind) is None or _most(kind) is None)) or (
        isinstance(kind, inspect.FloatType) and (_least(kind) is None or _most(kind) is None)
    ):
        yield place
    elif isinstance(kind, inspect.UnionType | inspect.TupleType):
        for number, each in enumerate(kind.types if isinstance(kind, inspect.UnionType) else kind.item_types):
            yield from _unbounded(each, seen, place if isinstance(kind, inspect.UnionType) else f"{place}[{number}]")
    elif isinstance(kind, inspect.ListType | inspect.VarTupleType):
        yield from _unbounded(kind.item_type, seen, f"{place}[]")
    elif isinstance(kind, inspect.DictType):
        yield from _unbounded(kind.key_type, seen, f"a key of {place}")
        yield from _unbounded(kind.value_type, seen, f"{place}[]")
    elif isinstance(kind, inspect.StructType) and kind.cls not in seen:
        seen.add(kind.cls)
        for field in kind.fields:
            yield from _unbounded(field.type, seen, f"{kind.cls.__name__}.{field.name}")


def _least(kind: inspect.IntType | inspect.FloatType) -> float | None:
    return kind.gt if kind.ge is None else kind.ge


def _most(kind: inspect.IntType | inspect.FloatType) -> float | None:
    return kind.lt if kind.le is None else kind.le


def _decode_cut_rows(body: bytes, decoder: msgspec.json.Decoder[Any]) -> Any:
    """Decode again with rows cut, or padded, to the used places; ``None`` if that does not help."""
    cut = _cut_of(decoder)
    if cut is None:
        return None
    try:
        return decoder.decode(msgspec.json.encode(cut(msgspec.json.decode(body))))
    except (msgspec.MsgspecError, UnicodeError, OverflowError, RecursionError):
        return None


_Cut: TypeAlias = Callable[[Any], Any]


@cache
def _cut_of(decoder: msgspec.json.Decoder[Any]) -> _Cut | None:
    kind: Any = decoder.type
    return _cut(inspect.type_info(kind))


def _cut(kind: inspect.Type) -> _Cut | None:
    """Return a function that fits rows of a decoded value to the tuples of ``kind``; ``None`` if it has none."""
    if isinstance(kind, inspect.TupleType):
        return _cut_row(kind)
    if isinstance(kind, inspect.ListType):
        return _cut_items(_cut(kind.item_type))
    if isinstance(kind, inspect.DictType):
        return _cut_values(_cut(kind.value_type))
    if isinstance(kind, inspect.StructType):
        return _cut_fields(kind)
    if isinstance(kind, inspect.UnionType):
        cuts = [cut for each in kind.types if (cut := _cut(each))]
        return (lambda value: reduce(lambda held, cut: cut(held), cuts, value)) if cuts else None
    return None


def _cut_items(cut: _Cut | None) -> _Cut | None:
    return cut and (lambda value: [cut(each) for each in value] if isinstance(value, list) else value)


def _cut_values(cut: _Cut | None) -> _Cut | None:
    return cut and (lambda value: {key: cut(each) for key, each in value.items()} if isinstance(value, dict) else value)


def _cut_fields(kind: inspect.StructType) -> _Cut | None:
    cuts = {field.encode_name: cut for field in kind.fields if (cut := _cut(field.type))}

    def cut_fields(value: Any) -> Any:
        # Of a union, only the kind that it is.
        if not isinstance(value, dict) or value.get(kind.tag_field) != kind.tag:
            return value
        return {key: cuts[key](each) if key in cuts else each for key, each in value.items()}

    return cut_fields if cuts else None


def _cut_row(kind: inspect.TupleType) -> _Cut:
    places = [_cut(each) for each in kind.item_types]
    size = len(places)
    read = max((at for at, each in enumerate(kind.item_types, 1) if not isinstance(each, inspect.AnyType)), default=0)

    def cut_row(value: Any) -> Any:
        if not isinstance(value, list) or len(value) < read:
            return value
        row = value[:size] + [None] * (size - len(value))
        return [each(held) if each else held for each, held in zip(places, row, strict=True)] if any(places) else row

    return cut_row


def attempt(kind: type[_T], *path: str) -> Callable[[bytes], _T | None]:
    """Return a parser like ``reader``, which returns ``None`` for a body that does not match, as an error may not."""
    read = reader(kind, *path, what="")

    def read_if_there(body: bytes) -> _T | None:
        try:
            return read(body)
        except MalformedResponse:
            return None

    return read_if_there
