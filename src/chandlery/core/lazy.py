"""Public names of a package, listed once in its type stub and loaded on first use."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any


def homes(stub: str) -> dict[str, str]:
    """Map each name that a stub imports, as in ``from module import Name as Name``, to the module that defines it."""
    words = (line.split() for line in stub.splitlines() if line.startswith("from "))
    return {name: module for _, module, _, _, _, name in words}


def exported(
    package: str, file: str, *, extra: str | None = None
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """
    Return ``__all__``, ``__getattr__`` and ``__dir__`` of a package, from the stub beside its ``file``.

    Follows SPEC 1 of Scientific Python. A frozen program must include the stub. A name that needs a library of
    ``extra`` raises ``MissingDependency`` if that library is not installed.
    """
    with open(f"{file.rpartition('.')[0]}.pyi", encoding="utf-8") as stub:  # noqa: PTH123  # pathlib costs more than all of this
        known = homes(stub.read())

    def load(name: str) -> Any:
        if name not in known:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(known[name]), name)
        except ModuleNotFoundError as error:
            if extra is None or (error.name or "").partition(".")[0] == package.partition(".")[0]:
                raise
            from chandlery.core.errors import MissingDependency  # noqa: PLC0415  # needed for this error alone

            raise MissingDependency(
                f"{package}.{name} needs an extra; run: pip install 'chandlery[{extra}]'"
            ) from error
        setattr(sys.modules[package], name, value)
        return value

    return sorted(known), load, lambda: sorted({*vars(sys.modules[package]), *known})
