"""What the environment and ``.env`` say, and that no secret ever shows."""

from __future__ import annotations

import os
import pickle

import pytest

from chandlery.adapter.registry import ExchangeRegistry
from chandlery.clients.settings import CCXTConfig, Credentials, Settings, StorageConfig
from chandlery.core.errors import InvalidInput


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """An environment that holds what a test sets, and a working directory without a ``.env``."""
    for name in list(os.environ):
        if name.startswith(("BINANCE_", "HTX_", "HUOBI_", "KRAKEN_", "CCXT_", "CHANDLERY_", "DEFAULT_", "OKX_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def put(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def keys(accounts):
    """The keys of accounts, as text."""
    return [
        (
            each.api_key.get_secret_value(),
            each.api_secret.get_secret_value(),
            each.password and each.password.get_secret_value(),
        )
        for each in accounts
    ]


def test_keys_are_those_of_their_exchange(environment):
    """One exchange's keys are found under its name, and under no other's."""
    environment(
        BINANCE_API_KEY="key-b",
        BINANCE_API_SECRET="secret-b",
        OKX_API_KEY="key-o",
        OKX_SECRET="secret-o",
        OKX_PASSWORD="pass-o",
    )
    settings = Settings()

    assert [("key-b", "secret-b", None)] == keys(settings.credentials("binance"))
    assert [("key-o", "secret-o", "pass-o")] == keys(settings.credentials("okx"))
    assert [] == settings.credentials("kraken")


def test_several_accounts_are_numbered(environment):
    """Further accounts of an exchange are numbered from 2; the first number that is not there ends them."""
    environment(
        BINANCE_API_KEY="one", BINANCE_API_SECRET="1", BINANCE_API_KEY_2="two", BINANCE_API_SECRET_2="2",
        BINANCE_API_KEY_4="four", BINANCE_API_SECRET_4="4",
    )  # fmt: skip

    assert [("one", "1", None), ("two", "2", None)] == keys(Settings().credentials("binance"))


def test_huobi_and_htx_are_one(environment):
    """Keys under either name are found under both."""
    environment(HUOBI_API_KEY="key", HUOBI_API_SECRET="secret")

    assert [("key", "secret", None)] == keys(Settings().credentials("htx")) == keys(Settings().credentials("huobi"))


def test_half_an_account_is_refused(environment):
    """A key without its secret is a mistake, and the message names the variable that is missing."""
    environment(KRAKEN_API_KEY="key-k")
    with pytest.raises(InvalidInput, match="KRAKEN_API_SECRET is not set") as caught:
        Settings().credentials("kraken")

    assert "key-k" not in str(caught.value)


def test_ccxt_keys_are_the_default_exchange_s(environment):
    """Keys of ``CCXTConfig`` belong to its default exchange, and to no other."""
    environment(CCXT_API_KEY="key", CCXT_API_SECRET="secret", CCXT_DEFAULT_EXCHANGE="kraken")

    assert [("key", "secret", None)] == keys(Settings().credentials("kraken"))
    assert [] == Settings().credentials("binance")


def test_a_file_is_read_and_the_environment_wins(environment, tmp_path):
    """``.env`` of the working directory, or another file, is read; what the environment says counts more."""
    (tmp_path / ".env").write_text(
        "BINANCE_API_KEY=file\nBINANCE_API_SECRET=s\nCCXT_TIMEOUT_S=3\nDEFAULT_CONTRACT_TYPE=margin\n"
    )
    (tmp_path / "other").write_text("CCXT_TIMEOUT_S=4\nKRAKEN_API_KEY=k\nKRAKEN_API_SECRET=s\n")
    environment(BINANCE_API_KEY="environment")

    assert [("environment", "s", None)] == keys(Settings().credentials("binance"))
    assert (3.0, "margin") == (Settings().ccxt.timeout_s, Settings().ccxt.default_contract_type)
    assert 4.0 == Settings.of(tmp_path / "other").ccxt.timeout_s
    assert [("k", "s", None)] == keys(Settings.of(tmp_path / "other").credentials("kraken"))
    assert 10.0 == Settings.of(None).ccxt.timeout_s


def test_what_adapters_sign_in_with(environment):
    """What an adapter signs in with is found under its id; what is not set is left out, and so are those that need nothing."""
    environment(TRADESTATION_CLIENT_ID="id", TRADESTATION_REFRESH_TOKEN="token")
    adapters = [ExchangeRegistry.get("tradestation"), ExchangeRegistry.get("binance_spot")]

    assert {"tradestation": {"client_id": "id", "refresh_token": "token"}} == Settings().sign_in(adapters)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("CCXT_TIMEOUT_S", "-1", "timeout_s: Input should be greater than 0"),
        ("CCXT_TIMEOUT_S", "hunter2", "timeout_s"),
        ("CCXT_ENDPOINTS", "{hunter2", "endpoints.*JSON"),
        ("DEFAULT_CONTRACT_TYPE", "hunter2", "'spot', 'margin', 'future'"),
        ("CHANDLERY_ENDPOINTS", '{"binance_spot": 3}', "endpoints.binance_spot"),
    ],
)
def test_mistakes_are_said_without_their_value(environment, name, value, said):
    """What is wrong in the environment is one clear error of ours, in which the value does not show."""
    environment(**{name: value})
    with pytest.raises(InvalidInput, match=said) as caught:
        Settings()

    assert "hunter2" not in str(caught.value) + repr(caught.value.__context__)


def test_secrets_do_not_show(environment):
    """Neither text, nor repr, nor JSON of settings and credentials holds a secret."""
    environment(CCXT_API_KEY="hunter2key", CCXT_API_SECRET="hunter2secret", CCXT_PASSWORD="hunter2pass")
    settings = Settings()
    account = Credentials.of("hunter2key", "hunter2secret", "hunter2pass")
    shown = [str(settings), repr(settings), settings.model_dump_json(), str(account), repr(account), repr([account])]

    assert not [each for each in shown if "hunter2" in each]


@pytest.mark.parametrize("wrong", ["", "  ", "a\0b"])
def test_a_cache_folder_is_named_or_left_out(environment, wrong):
    """Empty text, which would be the folder that one happens to be in, is refused; so is what no path can hold."""
    with pytest.raises(InvalidInput, match=r"cache_dir: .* is not a folder"):
        StorageConfig(_env_file=None, cache_dir=wrong)
    if "\0" not in wrong:
        environment(CHANDLERY_CACHE_DIR=wrong)
        with pytest.raises(InvalidInput, match=r"cache_dir: .* is not a folder"):
            Settings()


def test_the_home_folder_is_meant_by_its_sign(environment, tmp_path):
    """In the environment as in an argument."""
    environment(HOME=str(tmp_path), CHANDLERY_CACHE_DIR="~/candles")

    assert tmp_path / "candles" == Settings().storage.cache_dir == StorageConfig(cache_dir="~/candles").cache_dir


@pytest.mark.parametrize("given", [("", "secret"), ("key", "")])
def test_an_account_needs_both(given):
    """An empty key or secret is refused before anything is sent."""
    with pytest.raises(InvalidInput, match="needs both"):
        Credentials.of(*given)


def test_equal_credentials_are_equal():
    """Credentials compare by what they hold, also after pickling, so that they can be told apart and hashed."""
    account = Credentials.of("key", "secret")

    assert account == pickle.loads(pickle.dumps(account))
    assert account != Credentials.of("key", "other")


def test_nothing_set_means_defaults(environment):
    """Without an environment everything has its documented default."""
    assert CCXTConfig(_env_file=None) == Settings().ccxt
    assert ("binance", None, False) == (
        Settings().ccxt.default_exchange,
        Settings().ccxt.default_contract_type,
        Settings().ccxt.testnet,
    )
