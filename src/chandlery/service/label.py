"""Response field that names the origin of the data; absent for the exchange's own data."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import Field

Label: TypeAlias = Annotated[
    str | None,
    Field(
        exclude_if=lambda origin: origin is None,
        description="The server that responded in place of the exchange; absent for the exchange's own data.",
        examples=["offline-7"],
    ),
]


def labelled(origin: str | None) -> dict[str, Any]:
    """Return the field as JSON; empty for the exchange's own data."""
    return {} if origin is None else {"origin": origin}
