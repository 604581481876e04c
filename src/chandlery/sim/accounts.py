"""Accounts for the non-public endpoints of the offline exchange."""

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
    Keys and balances of an account, with amounts as the exchange writes them.

    ``exchange`` is the exchange of the account; empty for any.
    """

    key: str
    secret: str
    balances: Mapping[str, str] = field(default_factory=lambda: {"USDT": "1000.00000000", "BTC": "0.50000000"})
    exchange: str = ""


class Accounts:
    """Known accounts; ``offered`` holds the last keys that clients sent, by exchange id."""

    def __init__(self, accounts: Sequence[Account] = ()) -> None:
        self.offered: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)
        self._accounts = tuple(accounts)

    def find(self, exchange: str, key: str) -> Account | None:
        """Return the account of a key at an exchange, and record the key in ``offered``."""
        self.offered.append((exchange, key))
        known = (each for each in self._accounts if each.key == key)
        return next((each for each in known if exchange.startswith(each.exchange)), None)


def hmac_sha256(account: Account, text: str) -> str:
    """Return the signature of a text in hexadecimal digits."""
    return hmac.new(account.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
