"""The nominal time of funding rates, at which they join with candles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pyarrow as pa

from chandlery.core.errors import InvalidInput
from chandlery.core.time import HOUR, MINUTE, SECOND
from chandlery.tables.frame import NANOS, OPEN_TIME, Int64, unwrap, wrap

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

NOMINAL_TIME = "nominal_time"
_TIME = pa.timestamp("ns", "UTC")
_LATE = 10 * MINUTE * NANOS
"""Largest distance of a funding from the hour that it is meant for."""

_Rates = TypeVar("_Rates", "pd.DataFrame", "pl.DataFrame", pa.Table)


def with_nominal_time(rates: _Rates) -> _Rates:
    """
    Return funding rates with a last column ``nominal_time``: the full hour for which each was meant.

    ``open_time`` is the exact time of funding, which may be some milliseconds or, after a disruption, minutes from the
    hour, so that it equals no open time of a candle. A funding over 10 minutes from a full hour has the nearest full
    second. ``rates`` is a result of ``get_data`` in any output; it does not change.

    Raises:
        InvalidInput: It is none.
    """
    given: Any = rates
    kind = type(rates).__module__.partition(".")[0]
    result: Any
    if isinstance(rates, pa.Table):
        result = table_with_nominal_time(rates)
    elif kind == "polars":
        import polars as pl  # noqa: PLC0415  # loaded where it is used

        result = given.with_columns(pl.Series(NOMINAL_TIME, _column(given[OPEN_TIME].to_arrow())))
    elif kind == "pandas":
        import pandas as pd  # noqa: PLC0415  # loaded where it is used

        times = pd.DatetimeIndex(nominal_nanos(given.index.as_unit("ns").asi8).view("M8[ns]"))
        result = given.assign(**{NOMINAL_TIME: times.tz_localize("UTC")})
    else:
        raise InvalidInput(f"rates are a frame of pandas or polars, or an Arrow table, not {type(rates).__name__}")
    return cast("_Rates", result)


def table_with_nominal_time(rates: pa.Table) -> pa.Table:
    """Return an Arrow table of funding rates with the column ``nominal_time``."""
    return rates.append_column(pa.field(NOMINAL_TIME, _TIME, nullable=False), _column(rates.column(OPEN_TIME)))


def nominal_nanos(nanos: Int64) -> Int64:
    """Return the nominal time of each time of funding, both in nanoseconds."""
    hours = _rounded(nanos, HOUR * NANOS)
    return np.where(np.abs(hours - nanos) <= _LATE, hours, _rounded(nanos, SECOND * NANOS))


def _rounded(nanos: Int64, unit: int) -> Int64:
    return (nanos + unit // 2) // unit * unit


def _column(times: pa.Array | pa.ChunkedArray) -> pa.Array:
    return wrap(_TIME, nominal_nanos(unwrap(times.cast(_TIME))))
