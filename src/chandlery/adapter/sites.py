"""The regional sites of exchanges: by name, base URLs as ``endpoints`` take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Sites: TypeAlias = Mapping[str, Mapping[str, str]]
