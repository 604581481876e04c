"""Binance."""

from chandlery.exchanges.binance.markets import BinanceBaseAdapter, BinanceInverse, BinancePerpetual, BinanceSpot

__all__ = ["BinanceBaseAdapter", "BinanceInverse", "BinancePerpetual", "BinanceSpot"]
