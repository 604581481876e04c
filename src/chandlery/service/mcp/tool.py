"""A tool of the MCP server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import mcp_types as types
from msgspec import Struct
from pydantic import BaseModel, ValidationError

from chandlery.core.errors import InvalidInput
from chandlery.service.known import KnownFields, shown
from chandlery.service.mcp.ranges import Progress


class Tool(Struct, frozen=True):
    """Tool, and its description."""

    name: str
    scope: str
    takes: type[KnownFields]
    answers: type[BaseModel]
    work: Callable[[Any, Progress], Awaitable[BaseModel]]
    changes: bool = False
    """True if the tool changes the state of the service."""
    destroys: bool = False
    heavy: bool = False
    """True if the tool reads whole ranges."""

    def declared(self) -> types.Tool:
        """Return the declaration for clients."""
        return types.Tool(
            name=self.name,
            title=self.name.replace("_", " ").capitalize(),
            description=" ".join((self.work.__doc__ or "").split()) + f" Needs the scope {self.scope}.",
            input_schema=self.takes.model_json_schema(),
            output_schema=self.answers.model_json_schema(mode="serialization"),
            annotations=types.ToolAnnotations(
                read_only_hint=not self.changes,
                destructive_hint=self.destroys,
                idempotent_hint=True,
                open_world_hint=True,
            ),
        )

    def arguments(self, given: dict[str, Any]) -> KnownFields:
        """
        Validate the arguments.

        Raises:
            InvalidInput: They do not match the schema.
        """
        try:
            return self.takes.model_validate(given)
        except ValidationError as error:
            raise InvalidInput("; ".join(map(shown, error.errors()))) from None
