"""Answers as values."""

from chandlery.sim.reply import error_reply, json_reply


def test_json_and_refusals():
    """Values are encoded, bytes are taken as they are, a refusal has a code and words."""
    assert json_reply({"a": 1}).body == b'{"a":1}'
    assert json_reply(b"[1]").body == b"[1]"
    refused = error_reply(-1003, "no", 429, {"Retry-After": "5"})
    assert (refused.status, refused.body) == (429, b'{"code":-1003,"msg":"no"}')
    assert refused.headers["Retry-After"] == "5"
    assert refused.headers["Content-Type"].startswith("application/json")
