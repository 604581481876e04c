"""Requests are refused that name a parameter or a field which is not known: it is mostly misspelt, and would be lost."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import Request
from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chandlery.core.errors import InvalidInput
from chandlery.core.instrument import require_symbol

SymbolText: TypeAlias = Annotated[str, BeforeValidator(require_symbol)]
"""A symbol, refused as the library refuses what can be none: with ``InvalidSymbol``, which is no mistake of a field."""


class KnownFields(BaseModel):
    """The body of a request, which has no other fields than these."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("*", mode="before")
    @classmethod
    def _no_truths(cls, value: Any) -> Any:
        """A truth would be taken for the number 1 or 0; no field is one."""
        if isinstance(value, bool):
            raise PydanticCustomError("no_truth", "true and false are no values for this")
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


async def known_parameters(request: Request) -> None:
    """
    A dependency of routes that take no other parameters of the query than those that they document.

    Raises:
        InvalidInput: There is another; the message names the known ones.
    """
    if not request.query_params:
        return
    known = sorted(set(_names(request.scope["route"].dependant)))
    unknown = [each for each in request.query_params if each not in known]
    if unknown:
        raise InvalidInput(_refusal("parameter", unknown, known))


def shown(mistake: Mapping[str, Any]) -> str:
    """One of pydantic's errors: where, and what is wrong there."""
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
    names = f"there is {', '.join(known)}" if known else "there is none"
    return f"{first[:40]!r} is no {what} here{hint}; {names}"
