"""How adapters read JSON: typed, by a path, with our error where it is something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from chandlery.core.errors import MalformedResponse
from chandlery.core.time import Micros, Unit

LATEST: Micros = 9_214_646_400_000_000
"""2262-01-01: frames count nanoseconds in 64 bits, which end in April of that year."""

Millis = Annotated[int, Meta(ge=0, le=LATEST // Unit.MILLIS.value)]
"""A moment in milliseconds."""
Seconds = Annotated[int, Meta(ge=0, le=LATEST // Unit.SECONDS.value)]
"""A moment in seconds."""

_LARGEST = 1e300
Finite = Annotated[float, Meta(ge=-_LARGEST, le=_LARGEST)]
"""A number that is neither infinite nor NaN."""

_T = TypeVar("_T")


def batches(items: Sequence[_T], size: int) -> list[Sequence[_T]]:
    """The items in groups of at most ``size``."""
    return [items[at : at + size] for at in range(0, len(items), size)]


def reader(kind: type[_T], *path: str, what: str) -> Callable[[bytes], _T]:
    """
    What reads a ``kind`` out of a JSON body, below the keys of ``path``; number strings count as numbers.

    It raises ``MalformedResponse``, which calls it ``what``, where the body holds something else.
    """
    whole: Any = kind
    for key in reversed(path):
        whole = msgspec.defstruct("Envelope", [("held", whole)], rename={"held": key})
    decoder = msgspec.json.Decoder(whole, strict=False)

    def read(body: bytes) -> _T:
        try:
            value: Any = decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise MalformedResponse(f"not {what}: {error}; it begins {bytes(body[:80])!r}") from error
        for _ in path:
            value = value.held
        return value  # type: ignore[no-any-return]  # decoded as what was asked for

    return read


def attempt(kind: type[_T], *path: str) -> Callable[[bytes], _T | None]:
    """The same for a body that need not hold a ``kind``, as an error need not be: then it gives ``None``."""
    read = reader(kind, *path, what="")

    def read_if_there(body: bytes) -> _T | None:
        try:
            return read(body)
        except MalformedResponse:
            return None

    return read_if_there
