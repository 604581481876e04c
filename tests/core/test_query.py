"""Providers and chart types are open sets of names that behave as enumerations do."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError, create_model

from chandlery.core.errors import InvalidInput, UnknownName
from chandlery.core.gaps import Span
from chandlery.core.interval import Interval
from chandlery.core.query import (
    FUNDING_RATE_DTYPES,
    OUTPUT_DTYPES,
    CandleQuery,
    ChartType,
    DataProvider,
    DataSource,
)

MEMBERS = [*DataProvider, *ChartType]


def test_the_documented_members():
    """The names that are there from the start, with their columns."""
    assert ["BINANCE", "TRADESTATION"] == [each.name for each in DataProvider][:2]
    assert ["klines", "fundingRate"] == [each.value for each in ChartType][:2]
    assert (OUTPUT_DTYPES, None) == (ChartType.KLINES.dtypes, ChartType.KLINES.interval)
    assert FUNDING_RATE_DTYPES == ChartType.FUNDING_RATE.dtypes
    assert ["auto", "rest", "vision"] == [each.value for each in DataSource]


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_a_member_stays_the_only_one_of_its_name(member):
    """Found by value or by itself, copied or pickled: it is the same object."""
    kind = type(member)

    assert member is kind(member.value)
    assert member is kind(member)
    assert member is getattr(kind, member.name)
    assert member is copy.deepcopy(member)
    assert member is pickle.loads(pickle.dumps(member))


@pytest.mark.parametrize("value", ["binanec", "", None, 3])
def test_an_unknown_value_names_the_known_ones(value):
    """Nothing is guessed."""
    with pytest.raises(UnknownName, match="one of BINANCE, TRADESTATION"):
        DataProvider(value)


def test_third_parties_add_their_own():
    """A provider and a chart type of others are members like ours; two of one name cannot be."""
    code = """
import pickle
from chandlery.core.errors import InvalidInput
from chandlery.core.interval import Interval
from chandlery.core.query import ChartType, DataProvider
before = len(DataProvider), len(ChartType)
acme = DataProvider.register("ACME")
interest = ChartType.register("OPEN_INTEREST", "openInterest", dtypes={"open_interest": "float64"}, interval=Interval.HOUR_1)
assert acme is DataProvider.ACME is DataProvider("ACME") is pickle.loads(pickle.dumps(acme))
assert (len(DataProvider), len(ChartType)) == (before[0] + 1, before[1] + 1)
assert interest in list(ChartType) and interest.dtypes == {"open_interest": "float64"}
for again in [("ACME", None), ("ACME_2", "acme")]:
    try:
        DataProvider.register(*again)
    except InvalidInput as error:
        assert "has DataProvider.ACME already" in str(error)
    else:
        raise AssertionError(again)
"""
    # In a process of its own, for a registered name stays.
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("acme", "ACME"),
        ("", ""),
        ("A B", "AB"),
        ("ACME", "../x"),
        ("ACME", "a b"),
        ("ACME", ""),
        ("NEW", "BINANCE"),
        ("NEW", "Binance"),
    ],
)
def test_a_name_that_cannot_be_an_attribute_or_a_folder_is_refused(name, value):
    """Names are attributes and values are folders, on disks of any kind."""
    with pytest.raises(InvalidInput):
        DataProvider.register(name, value)


@pytest.mark.parametrize("dtypes", [{}, {"a": "object"}, {"open_time": "int64"}, {"a": "float64", "b": "float32"}])
def test_columns_that_cannot_be_stored_are_refused(dtypes):
    """At least one column, each of a type that the cache keeps."""
    with pytest.raises(InvalidInput, match="cannot be stored"):
        ChartType.register("NEW_KIND", "newKind", dtypes=dtypes)


def test_events_are_filed_under_the_interval_of_their_kind():
    """Funding is kept under one interval, whichever was asked for; candles under theirs."""
    candles = CandleQuery("BTCUSDT", Interval.MINUTE_1, Span(0, 1))
    funding = CandleQuery("BTCUSDT", Interval.MINUTE_1, Span(0, 1), chart_type=ChartType.FUNDING_RATE)

    assert Interval.MINUTE_1 is candles.filed_interval
    assert Interval.HOUR_8 is funding.filed_interval


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_members_by_name(member):
    """As in an ``Enum``: by subscription, in ``__members__``, and in a pydantic model."""
    kind = type(member)

    class Model(BaseModel):
        field: kind

    assert member is kind[member.name] is kind.__members__[member.name]
    assert member in kind
    assert member.value in kind
    assert "nothing" not in kind
    for given in (member, member.value, member.name):
        assert member is Model(field=given).field
    assert f'{{"field":"{member.value}"}}' == Model(field=member).model_dump_json()
    assert member.value in Model.model_json_schema()["properties"]["field"]["enum"]


def test_names_that_are_not_members():
    """They are refused with those that are."""
    with pytest.raises(UnknownName, match="ChartType has no 'klines'; use one of KLINES, FUNDING_RATE"):
        ChartType["klines"]
    with pytest.raises(ValidationError, match="'nothing' is not a ChartType"):
        create_model("Model", field=(ChartType, ...))(field="nothing")
