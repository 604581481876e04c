"""Tools for users to test their own code against chandlery."""

from chandlery.testing.exchanges import ExchangeTests
from chandlery.testing.retries import no_waiting

__all__ = ["ExchangeTests", "no_waiting"]
