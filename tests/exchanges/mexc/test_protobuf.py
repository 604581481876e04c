"""MEXC's protobuf: our descriptors are those that others generate from the published files."""

from __future__ import annotations

import contextlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.errors import MalformedResponse
from chandlery.exchanges.mexc.protobuf import push_class, read_push

BODIES = {"publicSpotKline", "publicAggreDepths"}


def fields(descriptor, *, only=None):
    """Number, type and name of each field, and whether it may come several times."""
    return {
        (each.number, each.type, each.name, each.is_repeated)
        for each in descriptor.fields
        if only is None or each.name in only
    }


def test_the_fields_are_those_of_the_published_files():
    """As ccxt generated them: the kline, the changes of a book and its levels are whole, of the wrapper what is used."""
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as published

    ours, theirs = push_class().DESCRIPTOR, published.PushDataV3ApiWrapper.DESCRIPTOR
    assert fields(ours) == fields(theirs, only={each.name for each in ours.fields})
    assert BODIES < {each.name for each in ours.fields}
    for name in BODIES:
        mine, their = (kind.fields_by_name[name].message_type for kind in (ours, theirs))
        assert fields(mine) == fields(their)
    mine, their = (kind.fields_by_name["publicAggreDepths"].message_type for kind in (ours, theirs))
    assert fields(mine.fields_by_name["asks"].message_type) == fields(their.fields_by_name["asks"].message_type)


def test_what_others_write_is_read():
    """A message of ccxt's classes, with a field that is not used here."""
    from ccxt.protobuf.mexc import PushDataV3ApiWrapper_pb2 as published

    push = published.PushDataV3ApiWrapper(channel="c", symbol="BTCUSDT", sendTime=1736411507002)
    push.publicAggreDepths.fromVersion = "10589632359"
    push.publicAggreDepths.bids.add(price="92877.58", quantity="0.00000000")
    read = read_push(push.SerializeToString())

    assert ("BTCUSDT", 1736411507002) == (read.symbol, read.sendTime)
    assert "10589632359" == read.publicAggreDepths.fromVersion
    assert [("92877.58", "0.00000000")] == [(each.price, each.quantity) for each in read.publicAggreDepths.bids]
    assert not read.HasField("publicSpotKline")


@given(st.binary(max_size=60))
def test_any_other_bytes_are_an_error_or_a_message(frame):
    """Nothing else is raised."""
    with contextlib.suppress(MalformedResponse):
        assert read_push(frame) is not None


def test_a_frame_that_is_none_is_an_error():
    """It says how the frame begins."""
    with pytest.raises(MalformedResponse, match="it begins"):
        read_push(b"\x1f\x8b\x00garbage\xff")


def test_protobuf_is_loaded_only_when_it_is_needed():
    """Who asks which exchanges there are does not wait for it."""
    code = (
        "import sys\n"
        "from chandlery.adapter.registry import ExchangeRegistry\n"
        "assert 'mexc_spot' in ExchangeRegistry.names()\n"
        "assert 'google.protobuf' not in sys.modules\n"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
