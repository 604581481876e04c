"""Who may ask the offline exchange for what is not public."""

from __future__ import annotations

import hashlib
import hmac
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_REMEMBERED = 10_000


@dataclass(frozen=True)
class Account:
    """
    The keys of an account, and what is on it, as the exchange writes amounts.

    ``exchange`` is where it is; empty for any.
    """

    key: str
    secret: str
    balances: Mapping[str, str] = field(default_factory=lambda: {"USDT": "1000.00000000", "BTC": "0.50000000"})
    exchange: str = ""


class Accounts:
    """The accounts that there are; ``offered`` are the latest keys that somebody came with, by exchange id."""

    def __init__(self, accounts: Sequence[Account] = ()) -> None:
        self.offered: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._accounts = tuple(accounts)

    def find(self, exchange: str, key: str) -> Account | None:
        """The account of a key at an exchange, which is remembered to have been offered there."""
        self.offered.append((exchange, key))
        known = (each for each in self._accounts if each.key == key)
        return next((each for each in known if exchange.startswith(each.exchange)), None)


def hmac_sha256(account: Account, text: str) -> str:
    """The signature of a text in hexadecimal digits."""
    return hmac.new(account.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
