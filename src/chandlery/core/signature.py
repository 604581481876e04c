"""Calls of functions that users write with fewer parameters than the caller can pass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


def accepted(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    """Return those of ``options`` that a function accepts by name."""
    parameters = inspect.signature(function).parameters.values()
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return options
    names = {each.name for each in parameters if each.kind is not inspect.Parameter.POSITIONAL_ONLY}
    return {name: value for name, value in options.items() if name in names}
