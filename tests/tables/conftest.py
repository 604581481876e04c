"""The builders of series and rows."""

from fixtures.day_rows import make

__all__ = ["make"]
