"""The field of an answer that says whose data it holds; there is none where it is the exchange's own."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

Label: TypeAlias = Annotated[
    str | None,
    Field(
        exclude_if=lambda origin: origin is None,
        description="The server that answered in place of the exchange; not there for the exchange's own data.",
        examples=["offline-7"],
    ),
]


def labelled(origin: str | None) -> dict[str, Any]:
    """The field as JSON; nothing for the exchange's own data."""
    return {} if origin is None else {"origin": origin}
