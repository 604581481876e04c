"""Regional sites of exchanges: base URLs by name, in the format of ``endpoints``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Sites: TypeAlias = Mapping[str, Mapping[str, str]]
