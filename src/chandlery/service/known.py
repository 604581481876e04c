"""Rejection of unknown parameters and fields, which are mostly typos and would otherwise be ignored."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Self, TypeAlias

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chandlery.clients.markets import in_market
from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import require_symbol

SymbolText: TypeAlias = Annotated[str, BeforeValidator(require_symbol)]
"""Symbol validated as in the library: an invalid one raises ``InvalidSymbol``, not a field error."""


MARKET_HELP = (
    "spot, linear (also perpetual, futures, um) or inverse (also cm), where the symbol does not tell; "
    "by default spot if the exchange lists the symbol there, otherwise the only market that does."
)


class KnownFields(BaseModel):
    """Request body that allows no other fields than those declared."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truths(cls, value: Any) -> Any:
        """Reject booleans, which would be taken for the numbers 1 and 0; no field is a boolean."""
        if isinstance(value, bool):
            raise PydanticCustomError("no_truth", "true and false are not valid here")
        return value

    @model_validator(mode="before")
    @classmethod
    def _no_others(cls, content: Any) -> Any:
        unknown = [each for each in content if each not in cls.model_fields] if isinstance(content, dict) else []
        if unknown:
            raise PydanticCustomError(
                "unknown_field", "{refusal}", {"refusal": _refusal("field", unknown, cls.model_fields)}
            )
        return content


class NamedCoin(KnownFields):
    """Coin of an exchange, in any spelling; ``symbol`` is replaced by the one that names its ``market``, if that is given."""

    exchange: str = Field(examples=["binance"], max_length=64)
    symbol: SymbolText = Field(examples=["BTC/USDT"])
    market: str | None = Field(None, max_length=20, description=MARKET_HELP)

    @model_validator(mode="after")
    def _in_market(self) -> Self:
        if self.market is not None:
            self.symbol = in_market(self.exchange, self.symbol, self.market)
        return self


async def known_parameters(request: Request) -> None:
    """
    Reject undocumented query parameters; a dependency of routes.

    Raises:
        InvalidInput: A parameter is unknown; the message names the known ones.
    """
    if not request.query_params:
        return
    known = sorted(set(_names(request.scope["route"].dependant)))
    unknown = [each for each in request.query_params if each not in known]
    if unknown:
        raise InvalidInput(_refusal("parameter", unknown, known))


def shown(mistake: Mapping[str, Any]) -> str:
    """Format one of pydantic's errors: the location and the message."""
    where = ".".join(map(str, mistake["loc"]))
    return f"{where}: {mistake['msg']}" if where else str(mistake["msg"])


def _names(dependant: Dependant) -> Iterator[str]:
    yield from (each.alias for each in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names(each)


def _refusal(what: str, unknown: Collection[str], known: Collection[str]) -> str:
    first = next(iter(unknown))
    near = difflib.get_close_matches(first, known, 1)
    hint = f", did you mean {near[0]}" if near else ""
    names = f"available: {', '.join(known)}" if known else "there are none"
    return f"{first[:40]!r} is not a {what} here{hint}; {names}"
