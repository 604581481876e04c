"""Settings: the only place that reads the environment and ``.env``, except ``HTTPS_PROXY`` and related ones in ``net``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, create_model
from pydantic.aliases import AliasChoices
from pydantic_settings import BaseSettings, SettingsConfigDict

from chandlery.adapter.base import ExchangeAdapter
from chandlery.cache.files import folder
from chandlery.clients.names import canonical, other_names
from chandlery.core.errors import InvalidInput
from chandlery.net.proxy import Proxies

ContractType: TypeAlias = Literal["spot", "margin", "future", "swap", "delivery", "option"]
"""Default kind of contract: ``future`` is the perpetual that settles in its quote currency, as is ``swap``."""

ENV_FILE = ".env"
_MOST_KEYS = 100

_CONFIG = SettingsConfigDict(
    env_file=ENV_FILE,
    extra="ignore",
    frozen=True,
    hide_input_in_errors=True,
    populate_by_name=True,
    # A default is already converted; validating it would parse it like user input, in another unit.
    validate_default=False,
)


class FromEnvironment(BaseSettings):
    """Settings whose validation errors are reported without the values, which may be secret."""

    model_config = _CONFIG

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except (ValidationError, ValueError) as error:
            raise InvalidInput(f"{type(self).__name__}: {_mistakes(error)}") from None


class Credentials(BaseModel):
    """Keys of one account, which are never printed."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    api_key: SecretStr
    api_secret: SecretStr
    password: SecretStr | None = None
    """Passphrase that some exchanges require in addition."""

    @classmethod
    def of(cls, api_key: str | SecretStr, api_secret: str | SecretStr, password: str | SecretStr | None = None) -> Self:
        """Build credentials from text; neither key may be empty."""
        if not _text(api_key) or not _text(api_secret):
            raise InvalidInput("an account needs both, an api_key and an api_secret; one of them is empty")
        return cls(
            api_key=SecretStr(_text(api_key)),
            api_secret=SecretStr(_text(api_secret)),
            password=SecretStr(_text(password)) if password else None,
        )


def as_folder(given: Path | str | None) -> Path | None:
    """Parse a folder setting as an absolute path; ``~`` is the home folder."""
    try:
        return None if given is None else folder(given, "the folder")
    except InvalidInput as error:
        raise ValueError(str(error)) from None


class StorageConfig(FromEnvironment):
    """Storage settings: ``CHANDLERY_CACHE_DIR``, ``CHANDLERY_USE_CACHE``."""

    model_config = SettingsConfigDict({**_CONFIG, "env_prefix": "CHANDLERY_"})

    cache_dir: Annotated[Path | None, BeforeValidator(as_folder)] = None
    """Folder of cached candles; defaults to the user's cache folder."""
    use_cache: bool = True


class CCXTConfig(FromEnvironment):
    """
    Settings of ccxt: ``CCXT_DEFAULT_EXCHANGE``, ``CCXT_TIMEOUT_S`` and so on, and ``DEFAULT_CONTRACT_TYPE``.

    ``endpoints`` maps, per exchange, URL prefixes to their replacements, e.g.
    ``{"binance": {"https://api.binance.com": "http://127.0.0.1:8080"}}``; ``options`` are, per exchange, arguments of
    ccxt's constructor. Both are JSON in the environment. The keys, if any, belong to ``default_exchange`` only.
    """

    model_config = SettingsConfigDict({**_CONFIG, "env_prefix": "CCXT_"})

    default_exchange: str = "binance"
    default_contract_type: ContractType | None = Field(None, validation_alias=AliasChoices("DEFAULT_CONTRACT_TYPE"))
    """Default contract type; each exchange's own default if unset."""
    testnet: bool = False
    timeout_s: float = Field(10.0, gt=0)
    enable_rate_limit: bool = True
    """True if ccxt applies its own pause between requests, too."""
    endpoints: dict[str, dict[str, str]] = Field(default_factory=dict)
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    password: SecretStr | None = None

    def account(self, exchange: str) -> Credentials | None:
        """Return the keys if they are set and belong to the exchange."""
        if canonical(exchange) != canonical(self.default_exchange) or not (self.api_key and self.api_secret):
            return None
        return Credentials.of(self.api_key, self.api_secret, self.password)


class Settings(FromEnvironment):
    """
    All settings of the library.

    ``endpoints`` maps exchange ids to base URLs (``CHANDLERY_ENDPOINTS``, JSON), with ``origin`` or ``mirror`` if the
    origin is not host and port. ``proxy`` is the proxy of all connections (``CHANDLERY_PROXY``); it defaults to
    ``HTTPS_PROXY`` and related variables. Without ``env_file``, ``.env`` in the working directory is read if it exists.
    """

    model_config = SettingsConfigDict({**_CONFIG, "env_prefix": "CHANDLERY_"})

    storage: StorageConfig = Field(default_factory=StorageConfig)
    ccxt: CCXTConfig = Field(default_factory=CCXTConfig)
    endpoints: dict[str, dict[str, str | bool]] = Field(default_factory=dict)
    proxy: SecretStr | None = None
    env_file: Path | None = Path(ENV_FILE)

    @classmethod
    def of(cls, env_file: Path | str | None) -> Self:
        """Return the settings of the environment and of another file; ``None`` for no file."""
        return cls(
            _env_file=env_file,
            env_file=env_file,
            storage=StorageConfig(_env_file=env_file),
            ccxt=CCXTConfig(_env_file=env_file),
        )

    @property
    def proxies(self) -> Proxies:
        """
        Proxy of each address.

        Raises:
            InvalidInput: A value is not the address of a proxy.
            MissingDependency: SOCKS needs an extra that is not installed.
        """
        return Proxies(self.proxy_url, endpoints=self.endpoints)

    @property
    def proxy_url(self) -> str | None:
        """Value of ``proxy`` as text, with its credentials."""
        return None if self.proxy is None else self.proxy.get_secret_value()

    def credentials(self, exchange: str) -> list[Credentials]:
        """
        Return the accounts at an exchange, in the order of their numbers.

        ``<EXCHANGE>_API_KEY``, ``<EXCHANGE>_API_SECRET`` (or ``_SECRET``) and, if the exchange has one,
        ``<EXCHANGE>_PASSWORD`` (or ``_API_PASSWORD``); further accounts are numbered from 2, as
        ``<EXCHANGE>_API_KEY_2``. ``HUOBI_…`` are those of ``htx``. Without any, those of ``CCXTConfig`` if it is the
        default exchange.

        Raises:
            InvalidInput: A key is set without its secret, or the other way round.
        """
        name = canonical(exchange)
        found = []
        for number in range(1, _MOST_KEYS + 1):
            account = self._account(name, "" if number == 1 else f"_{number}")
            if account is None:
                break
            found.append(account)
        default = self.ccxt.account(name)
        return found or ([] if default is None else [default])

    def sign_in(self, adapters: Sequence[type[ExchangeAdapter]]) -> dict[str, Mapping[str, str]]:
        """Return the configured sign-in values of adapters that need them, by id, e.g. ``TRADESTATION_REFRESH_TOKEN``."""
        return {
            each.id: self._secrets(
                {name: (f"{each.id}_{name}",) for name in (*each.credentials, *each.more_credentials)}
            )
            for each in adapters
            if each.credentials
        }

    def _account(self, exchange: str, suffix: str) -> Credentials | None:
        names = [each.upper() for each in (exchange, *other_names(exchange))]

        def spelled(*endings: str) -> tuple[str, ...]:
            return tuple(f"{name}_{ending}{suffix}" for name in names for ending in endings)

        wanted = {
            "api_key": spelled("API_KEY"),
            "api_secret": spelled("API_SECRET", "SECRET"),
            "password": spelled("PASSWORD", "API_PASSWORD"),
        }
        found = self._secrets(wanted)
        if not found.keys() & {"api_key", "api_secret"}:
            return None
        for name in ("api_key", "api_secret"):
            if name not in found:
                raise InvalidInput(f"{exchange}: {wanted[name][0]} is not set, but its counterpart is; set both")
        return Credentials.of(**found)

    def _secrets(self, wanted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
        """Return the values of the environment, else of the file, under the first spelling of each name that is set."""
        fields: dict[str, Any] = {
            name: (SecretStr | None, Field(None, validation_alias=AliasChoices(*spellings)))
            for name, spellings in wanted.items()
        }
        read = create_model("_Secrets", __base__=FromEnvironment, **fields)(_env_file=self.env_file)
        values = {name: getattr(read, name) for name in wanted}
        return {name: value.get_secret_value() for name, value in values.items() if value is not None and _text(value)}


def _text(value: str | SecretStr | None) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value or ""


def _mistakes(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return f"{error}; write it as JSON"
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False))
