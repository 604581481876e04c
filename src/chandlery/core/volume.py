"""Units of volume."""

from __future__ import annotations

from msgspec import Struct

from chandlery.core.errors import InvalidInput

VOLUME_UNITS = ("exchange", "base", "quote", "contracts")
"""``exchange`` leaves volumes in the unit in which the exchange sends them."""


class VolumeFacts(Struct, frozen=True):
    """
    The units of the volumes of one series.

    ``unit`` is that of ``volume``; ``turnover`` that of ``quote_asset_volume``, ``None`` if it is not sent.
    ``contract_size`` is in base, or in quote if ``inverse``; ``None`` if unknown. It is ``fixed`` if it is documented
    never to change; the size in a list is only the present one.
    """

    name: str
    unit: str
    turnover: str | None
    inverse: bool = False
    contract_size: float | None = None
    fixed: bool = False

    @property
    def contract_unit(self) -> str:
        """The unit of ``contract_size``."""
        return "quote" if self.inverse else "base"


def require_volume_unit(unit: str, name: str = "volume_unit") -> str:
    """
    Return the unit if it is one of ``VOLUME_UNITS``.

    Raises:
        InvalidInput: It is not.
    """
    if unit not in VOLUME_UNITS:
        raise InvalidInput(f"{name} is {unit!r}; use one of {', '.join(VOLUME_UNITS)}")
    return unit
