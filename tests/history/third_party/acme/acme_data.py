"""What a third party writes: a provider, a kind of data and a client of their own."""

from datetime import timedelta

import pandas as pd

from chandlery import ChartType, DataClientFactory, DataClientInterface, DataProvider, MarketType

ACME = DataProvider.register("ACME")
OPEN_INTEREST = ChartType.register(
    "OPEN_INTEREST", "openInterest", dtypes={"open_interest": "float64", "note": "string"}
)
CALLS = []


class AcmeCandles(DataClientInterface):
    """Candles whose close is the hour of the day."""

    source = "acme"
    provider = ACME
    market_type = MarketType.SPOT
    chart_type = ChartType.KLINES

    def fetch(self, start_time, end_time, **kwargs):
        """As the interface says."""
        CALLS.append((self.symbol, start_time, end_time))
        index = pd.date_range(start_time, end_time, freq="1h", inclusive="left", name="open_time", unit="ns")
        hours = index.hour.astype("float64")
        frame = pd.DataFrame(index=index)
        for name, dtype in self.chart_type.dtypes.items():
            frame[name] = index + timedelta(minutes=59) if name == "close_time" else hours.to_numpy().astype(dtype)
        return frame


class AcmeOpenInterest(DataClientInterface):
    """A kind of data that chandlery has never heard of."""

    source = "acme"
    provider = ACME
    market_type = MarketType.SPOT
    chart_type = OPEN_INTEREST

    def fetch(self, start_time, end_time, **kwargs):
        """As the interface says."""
        CALLS.append((self.symbol, start_time, end_time))
        index = pd.date_range(start_time, end_time, freq="1h", inclusive="left", name="open_time", unit="ns")
        return pd.DataFrame({"open_interest": 7.5, "note": pd.array(["ok"] * len(index), "string")}, index=index)


DataClientFactory.register_client(ACME, MarketType.SPOT, ChartType.KLINES, AcmeCandles)
DataClientFactory.register_client(ACME, MarketType.SPOT, OPEN_INTEREST, AcmeOpenInterest)
