"""Provenance survives whatever is done to the frame that carries it."""

from __future__ import annotations

import copy
import json
import pickle

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chandlery.core.gaps import Gap, GapKind, Span
from chandlery.core.provenance import Event, EventKind, Provenance, SourceSpan

MOMENTS = st.integers(0, 2**52)
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
OPTIONAL = st.none() | TEXT
PROVENANCES = st.builds(
    Provenance.of,
    st.lists(
        st.builds(SourceSpan, MOMENTS, MOMENTS, TEXT, MOMENTS, st.just("f"), st.just("a"), OPTIONAL, st.booleans()),
        max_size=3,
    ),
    st.lists(st.builds(Gap, MOMENTS, MOMENTS, st.sampled_from(GapKind), TEXT), max_size=1),
    st.lists(st.builds(Event, MOMENTS, MOMENTS, st.sampled_from(EventKind), TEXT), max_size=3),
    st.none() | MOMENTS,
    OPTIONAL,
    OPTIONAL,
)
ONE = Provenance.of(
    [SourceSpan(20, 30, "rest", 99), SourceSpan(0, 20, "vision", 98, "a.zip", "ab" * 32, cached=True)],
    [Gap(30, 40, GapKind.HALT, "asked twice")],
    [Event(0, 20, EventKind.OFF_GRID, "2 rows")],
    open_candle=40,
)


def content(provenance: Provenance) -> tuple[object, ...]:
    """All that it says, typed."""
    units = provenance.volume_unit, provenance.turnover_unit
    return provenance.spans, provenance.gaps, provenance.events, provenance.open_candle, *units


@given(PROVENANCES)
def test_json_round_trips(provenance):
    """Its own JSON and that of the standard library give the same back."""
    assert provenance == Provenance.from_json(provenance.to_json())
    assert content(provenance) == content(Provenance(json.loads(json.dumps(provenance))))


def test_typed_values_come_back_oldest_first():
    """The properties give what it was made of, in order of time."""
    assert [0, 20] == [span.start for span in ONE.spans]
    assert Span(0, 20) == ONE.spans[0].span
    assert (Gap(30, 40, GapKind.HALT, "asked twice"),) == ONE.gaps
    assert (Event(0, 20, EventKind.OFF_GRID, "2 rows"),) == ONE.events
    assert 40 == ONE.open_candle
    assert ((), (), (), None, None, None) == content(Provenance.of())


@pytest.mark.parametrize(
    "through",
    [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_copies_are_equal_and_of_the_same_kind(through):
    """Copied and pickled it is still a ``Provenance``."""
    assert ONE == through(ONE)
    assert isinstance(through(ONE), Provenance)
    assert content(ONE) == content(through(ONE))


def test_a_frame_carries_it_through_a_parquet_file(tmp_path):
    """``to_parquet`` accepts it, and ``carried_by`` reads it from the frame that comes back."""
    frame = pd.DataFrame({"close": [1.0]})
    frame.attrs["chandlery"] = ONE
    frame.copy().to_parquet(tmp_path / "x.parquet")
    read = pd.read_parquet(tmp_path / "x.parquet")

    assert content(ONE) == content(Provenance.carried_by(read.attrs))
    assert content(ONE) == content(Provenance.carried_by(frame.copy().attrs))


def test_frames_that_carry_it_can_be_joined():
    """Joining compares ``attrs``, which a value of a stranger kind would not survive."""
    frame = pd.DataFrame({"close": [1.0]})
    frame.attrs["chandlery"] = ONE

    assert ONE == pd.concat([frame, frame.copy()]).attrs["chandlery"]


def test_it_is_shown_by_what_it_holds():
    """In a line, and as a table in a notebook, escaped."""
    assert (
        "<Provenance 1970-01-01T00:00:00Z to 1970-01-01T00:00:00.000030Z from vision (cached), rest; 1 gaps, 1 events>"
        == repr(ONE)
    )
    assert "<Provenance no source; 0 gaps, 0 events>" == repr(Provenance())
    assert "<td>halt</td><td>a &lt; b</td>" in Provenance.of(gaps=[Gap(0, 1, GapKind.HALT, "a < b")])._repr_html_()
