"""Accounts and keys."""

from __future__ import annotations

from chandlery.database.principals import Principal, SigningKey


def test_nothing_secret_is_printed():
    """Neither hashes nor private keys."""
    assert "hash" not in repr(Principal("client-1", "client", "bot", "hash-of-it", ("read",), 5))
    assert "pem" not in repr(SigningKey("a", "pem-a", 5))
