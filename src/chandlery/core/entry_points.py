"""The only place that imports what third-party packages offer by entry points."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from chandlery.core.errors import InvalidInput

DATA_CLIENTS = "chandlery.data_clients"
"""Group of the modules that register providers, kinds of data and data clients."""

_imported: set[str] = set()
_complete: set[str] = set()


def import_group(group: str) -> bool:
    """
    Import what all entry points of a group name, once. Return whether any was imported.

    Raises:
        InvalidInput: One cannot be imported; the next call tries it again.
    """
    if group in _complete:
        return False
    fresh = False
    for entry in entry_points(group=group):
        if entry.value not in _imported:
            _imported.add(entry.value)  # before the import, because the module may look up names
            try:
                loaded(entry)
            except InvalidInput:
                _imported.discard(entry.value)
                raise
            fresh = True
    _complete.add(group)
    return fresh


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
