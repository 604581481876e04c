"""Queries: provider, kind of data, source, and the query that combines them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Any, ClassVar, Self

from msgspec import Struct

from chandlery.core.entry_points import DATA_CLIENTS, import_group
from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.instrument import MarketType
from chandlery.core.interval import Interval

OUTPUT_DTYPES: Mapping[str, str] = {
    "open": "float64",
    "high": "float64",
    "low": "float64",
    "close": "float64",
    "volume": "float64",
    "close_time": "datetime64[ns, UTC]",
    "quote_asset_volume": "float64",
    "count": "int64",
    "taker_buy_volume": "float64",
    "taker_buy_quote_volume": "float64",
}
"""The columns of candles, in order, under the index ``open_time``."""

FUNDING_RATE_DTYPES: Mapping[str, str] = {
    "contracts": "string",
    "funding_interval": "string",
    "funding_rate": "float64",
}
"""The columns of funding rates, in order, under the index ``open_time``, the time of funding."""

COLUMN_DTYPES = frozenset({"float64", "int64", "bool", "string", "datetime64[ns, UTC]"})
"""Allowed types of columns."""


class _OpenNames(type):
    """Make the members of an open set of names iterable, countable and callable by value."""

    _members: dict[str, Any]
    finder: Callable[[], object] | None = None
    """Called once, before a name is reported as unknown; it loads modules that register names."""

    def __iter__(cls) -> Iterator[Any]:
        cls.find()
        return iter(tuple(cls._members.values()))

    def __len__(cls) -> int:
        cls.find()
        return len(cls._members)

    def __getattr__(cls, name: str) -> Any:
        if name.isupper() and cls.find():
            return getattr(cls, name)
        raise AttributeError(f"{cls.__name__} has no {name}")

    def __getitem__(cls, name: str) -> Any:
        """Return the member of that name, as an ``Enum`` does."""
        member = cls.__members__.get(name)
        if member is None:
            raise UnknownName(f"{cls.__name__} has no {name!r}; use one of {', '.join(cls.__members__)}")
        return member

    def __contains__(cls, value: object) -> bool:
        """Return whether ``value`` is a member, or the value of one."""
        cls.find()
        return isinstance(value, cls) or (isinstance(value, str) and value in cls._members)

    @property
    def __members__(cls) -> Mapping[str, Any]:
        """The members by name."""
        cls.find()
        return MappingProxyType({member.name: member for member in cls._members.values()})

    def find(cls) -> bool:
        """Run ``finder`` and import third parties' modules, which register names. Return whether any did for the first time."""
        finder, cls.finder = cls.finder, None
        try:
            if finder is not None:
                finder()
            fresh = import_group(DATA_CLIENTS)
        except InvalidInput:
            cls.finder = finder
            raise
        return fresh or finder is not None


def _folded(name: str) -> str:
    return name.strip().lower().replace("-", "").replace("_", "")


class _OpenName(metaclass=_OpenNames):
    """
    A name from a set that third parties can extend, unlike an ``Enum``.

    Members are attributes, ``X.NAME``, and are looked up by value, ``X("value")``, by name, or by another name of the
    same; case, ``-`` and ``_`` do not matter.
    """

    _members: ClassVar[dict[str, Any]]
    _spelled: ClassVar[dict[str, Any]]
    """Members by folded names, values and other names."""
    name: str
    value: str

    def __init_subclass__(cls) -> None:
        cls._members = {}
        cls._spelled = {}

    def __new__(cls, value: Self | str) -> Self:
        """Return the member of that value or name."""
        if isinstance(value, cls):
            return value
        member: Self | None = None
        if isinstance(value, str):
            member = cls._members.get(value) or cls._spelled.get(_folded(value))
        if member is None and cls.find():
            return cls(value)
        if member is None:
            raise UnknownName(f"{value!r} is not a {cls.__name__}; use one of {', '.join(cls._members)}")
        return member

    @classmethod
    def _add(cls, name: str, value: str, *others: str) -> Self:
        if not (name.isidentifier() and name.isupper()):
            raise InvalidInput(
                f"{name!r} cannot be the name of a {cls.__name__}: use an identifier in capitals, e.g. NEW_NAME"
            )
        if not value.isidentifier():
            raise InvalidInput(
                f"{value!r} cannot be the value of a {cls.__name__}: use letters, digits and _ only, since it names a cache folder"
            )
        for member in cls._members.values():
            if name == member.name or value.lower() == member.value.lower():
                raise InvalidInput(f"{cls.__name__} has {member!r} already")
        member = object.__new__(cls)
        member.name = name
        member.value = value
        cls._members[value] = member
        for each in (name, value, *others):
            cls._spelled.setdefault(_folded(each), member)
        setattr(cls, name, member)
        return member

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """Validate a field of a pydantic model by value or name; serialize it as its value."""
        from pydantic_core import core_schema  # noqa: PLC0415  # only models need it

        def parse(value: Any) -> _OpenName:
            try:
                return cls(value)
            except UnknownName as error:
                raise ValueError(str(error)) from None

        return core_schema.no_info_plain_validator_function(
            parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda member: member.value)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: object, handler: object) -> dict[str, Any]:
        """Describe a field in JSON Schema."""
        return {"title": cls.__name__, "type": "string", "enum": [member.value for member in cls]}

    def __reduce__(self) -> tuple[type[Self], tuple[str]]:
        """Pickle and copy by value, so that each member stays unique."""
        return type(self), (self.value,)


class DataProvider(_OpenName):
    """The provider of the data; third parties add theirs with ``register``."""

    BINANCE: ClassVar[DataProvider]
    TRADESTATION: ClassVar[DataProvider]

    @classmethod
    def register(cls, name: str, value: str | None = None) -> Self:
        """Add a provider, e.g. ``register("ACME")``; then it is ``DataProvider.ACME``."""
        return cls._add(name, name if value is None else value)


class ChartType(_OpenName):
    """
    The kind of data; third parties add theirs with ``register``.

    ``dtypes`` are its columns in order. ``interval`` is ``None`` if rows open on the grid of
    the requested interval, as candles do. If rows are events at times of their own,
    as funding is, it is the single interval under which they are stored.
    """

    KLINES: ClassVar[ChartType]
    FUNDING_RATE: ClassVar[ChartType]

    dtypes: Mapping[str, str]
    interval: Interval | None

    @classmethod
    def register(
        cls,
        name: str,
        value: str,
        *,
        dtypes: Mapping[str, str],
        interval: Interval | None = None,
        other_names: Sequence[str] = (),
    ) -> Self:
        """Add a kind of data, e.g. ``register("OPEN_INTEREST", "openInterest", dtypes={"open_interest": "float64"})``."""
        unknown = {column: dtype for column, dtype in dtypes.items() if dtype not in COLUMN_DTYPES}
        if unknown or not dtypes or "open_time" in dtypes:
            raise InvalidInput(
                f"dtypes {dict(dtypes)} cannot be stored: name at least one column besides open_time, each one of {', '.join(sorted(COLUMN_DTYPES))}"
            )
        member = cls._add(name, value, *other_names)
        member.dtypes = dict(dtypes)
        member.interval = interval
        return member


DataProvider.register("BINANCE")
DataProvider.register("TRADESTATION")
ChartType.register("KLINES", "klines", dtypes=OUTPUT_DTYPES, other_names=("candles",))
ChartType.register(
    "FUNDING_RATE",
    "fundingRate",
    dtypes=FUNDING_RATE_DTYPES,
    interval=Interval.HOUR_8,
    other_names=("funding", "funding_rates"),
)


class DataSource(Enum):
    """The source to read data from."""

    AUTO = "auto"
    """The cache, then the archive, then REST."""
    REST = "rest"
    VISION = "vision"


class CandleQuery(Struct, frozen=True):
    """A series and the requested half-open span of it. ``symbol`` is in the exchange's own spelling."""

    symbol: str
    interval: Interval
    span: Span
    market_type: MarketType = MarketType.SPOT
    provider: DataProvider = DataProvider.BINANCE
    chart_type: ChartType = ChartType.KLINES

    @property
    def filed_interval(self) -> Interval:
        """The interval under which its rows are stored."""
        return self.chart_type.interval or self.interval
