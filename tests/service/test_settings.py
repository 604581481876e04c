"""The service's settings."""

from __future__ import annotations

import pytest

from chandlery.core.errors import InvalidInput
from chandlery.core.time import DAY, MINUTE, SECOND
from chandlery.service.settings import ServiceSettings


def test_from_the_environment(monkeypatch):
    """Each under its name; issuers as JSON."""
    monkeypatch.setenv("CHANDLERY_PORT", "9000")
    monkeypatch.setenv("CHANDLERY_SNAPSHOT_INTERVAL", "1m")
    monkeypatch.setenv("CHANDLERY_RETAIN_BOOKS_DAYS", "30")
    issuer = '[{"issuer": "https://x", "jwks_url": "https://x/keys", "audience": "a", "scopes": {"r": ["read"]}}]'
    monkeypatch.setenv("CHANDLERY_ISSUERS", issuer)
    monkeypatch.setenv("CHANDLERY_TRUSTED_PROXIES", "127.0.0.1, 10.0.0.0/8")
    settings = ServiceSettings(_env_file=None)

    assert (9000, MINUTE, {"books": 30 * DAY}) == (settings.port, settings.snapshot_interval, settings.retention)
    assert "https://x/keys" == settings.issuers[0].jwks_url
    assert ["127.0.0.1/32", "10.0.0.0/8"] == [str(each) for each in settings.trusted_proxies]


def test_the_data_folder_may_be_in_the_home_folder(monkeypatch, tmp_path):
    """Which ``~`` is."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert tmp_path / "x" == ServiceSettings(_env_file=None, data_dir="~/x").data_dir


@pytest.mark.parametrize(
    ("text", "length"), [("5m", 5 * MINUTE), ("1h", 60 * MINUTE), ("90", 90 * SECOND), (2, 2 * SECOND)]
)
def test_lengths(text, length):
    """As an interval, or in seconds."""
    assert length == ServiceSettings(_env_file=None, snapshot_interval=text).snapshot_interval


@pytest.mark.parametrize(
    "wrong",
    [
        {"snapshot_interval": "1M"},
        {"snapshot_interval": "soon"},
        {"port": 70_000},
        {"log_format": "xml"},
        {"retain_books_days": 0},
        {"data_dir": ""},
        {"data_dir": "a\0b"},
        {"trusted_proxies": "proxy.example"},
    ],
)
def test_what_cannot_be_is_named(wrong):
    """With the setting that it is of."""
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        ServiceSettings(_env_file=None, **wrong)


@pytest.mark.parametrize(
    ("host", "fine"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("example.org", False)],
)
def test_without_tokens_only_where_nobody_else_connects(host, fine):
    """Anything else is refused before it listens."""
    settings = ServiceSettings(_env_file=None, host=host, no_auth=True, public_url="http://x")
    if fine:
        settings.check()
    else:
        with pytest.raises(InvalidInput, match=r"127\.0\.0\.1"):
            settings.check()


def test_every_address_needs_a_name():
    """Tokens are for the one that callers know."""
    with pytest.raises(InvalidInput, match="--public-url"):
        ServiceSettings(_env_file=None, host="0.0.0.0").check()
    ServiceSettings(_env_file=None, host="0.0.0.0", public_url="https://data.example").check()
