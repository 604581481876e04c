"""Conversion of the volumes of candles to another unit."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from chandlery.core.errors import UnsupportedRequest
from chandlery.core.time import iso
from chandlery.core.volume import VolumeFacts
from chandlery.tables.frame import open_times, unwrap, wrap

_Floats: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]

_ROUNDING = 1e-6
"""Relative difference that the digits of an exchange's numbers explain; another contract size differs by far more."""


def converted(table: pa.Table, facts: VolumeFacts, unit: str) -> pa.Table:
    """
    Return candles whose ``volume`` and ``taker_buy_volume`` are in ``unit``, and the other two in the quote currency.

    ``unit`` is one of ``VOLUME_UNITS``; ``exchange`` changes nothing. An amount is taken from the row if the exchange
    sends it, otherwise from contracts x contract size: if that size is fixed, or if quote volume / base volume is
    within [low, high] of every row. A quote volume that is not known is NaN.

    Raises:
        UnsupportedRequest: ``volume`` is not known in that unit; the message has the reason.
    """
    if unit == "exchange":
        return table
    reason = _doubt(table, facts)
    for volume, turnover in (("volume", "quote_asset_volume"), ("taker_buy_volume", "taker_buy_quote_volume")):
        known = _amounts(facts, _floats(table, volume), _floats(table, turnover), trusted=reason is None)
        if unit not in known:
            raise UnsupportedRequest(f"{facts.name}: the volume in {unit} is not known: {_why(facts, unit, reason)}")
        unknown = np.full(table.num_rows, np.nan)
        table = _replaced(table, volume, known[unit])
        table = _replaced(table, turnover, known.get("quote", unknown))
    return table


def _amounts(facts: VolumeFacts, volume: _Floats, turnover: _Floats, *, trusted: bool) -> dict[str, _Floats]:
    """Return the amount in each unit in which it is known."""
    known = {facts.unit: volume}
    if facts.turnover is not None:
        known[facts.turnover] = turnover
    size = facts.contract_size
    if size is None or not trusted:
        return known
    if facts.unit == "contracts":
        known.setdefault(facts.contract_unit, _times(volume, size))
    elif facts.fixed and facts.unit == facts.contract_unit:
        known["contracts"] = volume / size
    return known


def _times(volume: _Floats, size: float) -> _Floats:
    """Multiply; divide by 10 rather than multiply by 0.1, which is not a tenth, so that the result has all its digits."""
    inverse = round(1 / size)
    return volume / inverse if inverse > 1 and abs(inverse * size - 1) < 1e-12 else volume * size


def _doubt(table: pa.Table, facts: VolumeFacts) -> str | None:
    """Return why contracts x contract size is not certain for these rows; ``None`` if it is."""
    size = facts.contract_size
    if not size:
        return "the exchange states no contract size of it"
    if facts.fixed or facts.unit != "contracts":
        return None
    if facts.turnover in {None, facts.contract_unit}:
        return "the exchange sends no quote volume that confirms the contract size, which may have changed"
    sent, counted = _floats(table, "quote_asset_volume"), _times(_floats(table, "volume"), size)
    if np.isnan(sent).any():
        return "rows without a quote volume do not confirm the contract size, which may have changed"
    quote, base = (counted, sent) if facts.inverse else (sent, counted)
    low, high = _floats(table, "low") * (1 - _ROUNDING), _floats(table, "high") * (1 + _ROUNDING)
    confirmed = ((low * base <= quote) & (quote <= high * base)) | ((quote == 0) & (base == 0))
    if confirmed.all():
        return None
    first = int(np.argmin(confirmed))
    return (
        f"with contracts of {size:.12g} the average price of the candle at {iso(int(open_times(table)[first]))} is not "
        f"between its low and its high, so the contract size was probably another"
    )


def _why(facts: VolumeFacts, unit: str, doubt: str | None) -> str:
    if unit == facts.contract_unit and facts.unit == "contracts" and doubt is not None:
        return f"{doubt}; volume_unit='contracts' is as the exchange sends it"
    return f"the exchange sends it in {facts.unit}" + (f" and {facts.turnover}" if facts.turnover else "")


def _floats(table: pa.Table, name: str) -> _Floats:
    return unwrap(table.column(name))


def _replaced(table: pa.Table, name: str, values: _Floats) -> pa.Table:
    place = table.column_names.index(name)
    field = table.schema.field(place)
    return table.set_column(place, field, wrap(field.type, values))
