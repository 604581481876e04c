"""The nominal time of funding rates."""

from __future__ import annotations

import pandas as pd
import polars as pl
import pytest

from chandlery.core.errors import InvalidInput
from chandlery.core.provenance import Provenance
from chandlery.core.query import ChartType
from chandlery.core.time import HOUR, MINUTE
from chandlery.tables.frame import table_of, to_output
from chandlery.tables.funding import with_nominal_time

EXACT = [8 * HOUR, 16 * HOUR + 5_000, 24 * HOUR - 7_000, 32 * HOUR + 9 * MINUTE, 40 * HOUR + 30 * MINUTE + 1_000]
NOMINAL = [8 * HOUR, 16 * HOUR, 24 * HOUR, 32 * HOUR, 40 * HOUR + 30 * MINUTE]


@pytest.mark.parametrize("output", ["pandas", "polars", "arrow"])
def test_the_full_hour_in_every_output(output):
    """Of what is near it; the exact time stays, and the argument does not change."""
    columns = {"open_time": EXACT, "contracts": ["X"] * 5, "funding_interval": ["8h"] * 5, "funding_rate": [0.1] * 5}
    given = to_output(table_of(ChartType.FUNDING_RATE, columns), output, Provenance())
    found = with_nominal_time(given)
    frame = found if output == "pandas" else found.to_pandas().set_index("open_time")

    assert "nominal_time" not in (given.column_names if output == "arrow" else given.columns)
    assert NOMINAL == [each.value // 1000 for each in frame["nominal_time"]]
    assert EXACT == [each.value // 1000 for each in frame.index]
    assert "UTC" == str(frame["nominal_time"].dtype.tz)
    candles = pd.DataFrame({"open": range(48)}, index=pd.to_datetime(range(48), unit="h", utc=True).as_unit("ns"))
    joined = candles.join(frame.set_index("nominal_time")["funding_rate"])
    assert [8, 16, 24, 32] == joined.index[joined.funding_rate.notna()].map(
        lambda each: each.value // 1000 // HOUR
    ).tolist()


def test_anything_else_is_refused():
    """With what is right."""
    with pytest.raises(InvalidInput, match="a frame of pandas or polars, or an Arrow table, not list"):
        with_nominal_time([])
    assert 0 == len(with_nominal_time(pl.DataFrame({"open_time": []}, schema={"open_time": pl.Datetime("ns", "UTC")})))
