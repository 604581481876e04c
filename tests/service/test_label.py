"""The field that says whose data an answer holds."""

from __future__ import annotations

from pydantic import BaseModel

from chandlery.service.label import Label, labelled


class Answer(BaseModel):
    """An answer with the field."""

    rows: int
    origin: Label = None


def test_the_exchanges_own_data_have_no_field():
    """Their answers are as they were; others name the server, in models and plain JSON alike."""
    assert '{"rows":1}' == Answer(rows=1).model_dump_json()
    assert {"rows": 1, "origin": "offline-7"} == Answer(rows=1, origin="offline-7").model_dump()
    assert {} == labelled(None)
    assert {"origin": "offline-7"} == labelled("offline-7")


def test_the_field_is_described_as_optional():
    """In the document of what is answered."""
    schema = Answer.model_json_schema(mode="serialization")

    assert ["rows"] == schema["required"]
    assert "in place of the exchange" in schema["properties"]["origin"]["description"]
