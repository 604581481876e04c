"""Answers made smaller."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from chandlery.service.web.compression import SMALLEST, Compression


def app_of(parts, content_type=b"application/json", **headers):
    """An application that answers in parts."""

    async def app(scope, receive, send):
        told = [(b"content-type", content_type), *((name.encode(), value) for name, value in headers.items())]
        await send({"type": "http.response.start", "status": 200, "headers": told})
        for number, part in enumerate(parts):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts) - 1})

    return app


async def ask(app, taken):
    """Headers and body of the answer."""
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "headers": [(b"accept-encoding", taken)]}
    await Compression(app)(scope, None, send)
    return dict(sent[0]["headers"]), b"".join(each["body"] for each in sent[1:])


PARTS = [b"a" * 5000, b"", b"b" * 5000]


@pytest.mark.parametrize(
    ("taken", "encoding"),
    [
        (b"gzip", b"gzip"),
        (b"zstd", b"zstd"),
        (b"gzip, zstd;q=0.5", b"zstd"),
        (b"br", None),
        (b"gzip;q=0, identity", None),
        (b"", None),
    ],
)
async def test_as_the_caller_takes_it(taken, encoding):
    """Every part, the best encoding of those that are taken."""
    headers, body = await ask(app_of(PARTS, etag=b'"x"'), taken)
    unpack = {
        b"gzip": gzip.decompress,
        b"zstd": lambda packed: pa.input_stream(pa.py_buffer(packed), compression="zstd").read(),
        None: bytes,
    }[encoding]

    assert encoding == headers.get(b"content-encoding")
    assert b"".join(PARTS) == unpack(body)
    assert (b'W/"x"' if encoding else b'"x"') == headers[b"etag"]


@pytest.mark.parametrize(
    "app",
    [
        app_of([b"a" * (SMALLEST - 1)]),
        app_of(PARTS, b"application/vnd.apache.arrow.stream"),
        app_of(PARTS, **{"content-encoding": b"br"}),
    ],
)
async def test_what_is_not_worth_it(app):
    """Small, binary or compressed answers are left alone."""
    headers, _ = await ask(app, b"gzip")

    assert b"gzip" != headers.get(b"content-encoding")
