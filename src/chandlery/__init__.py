"""
Candles, funding rates and order books of crypto exchanges, past and live.

Every public name imports from here and is loaded at its first use, so that ``import chandlery``
costs next to nothing. ``__init__.pyi`` lists them, ``docs/names.md`` describes them; errors live in
``chandlery.core.errors``.
"""

from __future__ import annotations

from typing import Any

from chandlery.core.lazy import exported

__all__, _load, __dir__ = exported(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  # it costs more than all the rest of this module

        globals()[name] = version("chandlery")
        return globals()[name]
    if name == "DataProvider":
        from chandlery.adapter import registry  # noqa: F401, PLC0415  # it registers the finder of all providers
    return _load(name)
