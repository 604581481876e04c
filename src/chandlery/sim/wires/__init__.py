"""Wire formats of the offline exchange, discovered in this package."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from chandlery.sim.wire import Wire


@cache
def wires() -> dict[str, type[Wire]]:
    """Return every wire by exchange id."""
    found: dict[str, type[Wire]] = {}
    for module in pkgutil.walk_packages(__path__, f"{__name__}."):
        for _, each in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(each, Wire) and "id" in vars(each):
                found[each.id] = each
    return dict(sorted(found.items()))
