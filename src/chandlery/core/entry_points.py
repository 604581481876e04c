"""The only place that imports what third-party packages offer by entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from chandlery.core.errors import InvalidInput


def loaded(entry: EntryPoint) -> Any:
    """
    Import what an entry point names.

    Raises:
        InvalidInput: It cannot be imported; the message names the entry point.
    """
    try:
        return entry.load()
    except Exception as error:  # a third party's module may raise anything
        raise InvalidInput(
            f"the entry point {entry.name} = {entry.value} of {entry.group} cannot be imported: {error!r}; update its package, or uninstall it"
        ) from error
