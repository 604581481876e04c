"""
Protobuf messages of MEXC's spot sockets: the fields in use, by their published numbers.

https://github.com/mexcdevelop/websocket-proto
"""

from __future__ import annotations

from functools import cache
from typing import Any

from chandlery.core.errors import MalformedResponse

_FIELDS = {
    "Level": "1 string price, 2 string quantity",
    "Depths": "1 Level* asks, 2 Level* bids, 3 string eventType, 4 string fromVersion, 5 string toVersion",
    "Kline": (
        "1 string interval, 2 int64 windowStart, 3 string openingPrice, 4 string closingPrice, 5 string highestPrice, "
        "6 string lowestPrice, 7 string volume, 8 string amount, 9 int64 windowEnd"
    ),
    "Push": (
        "1 string channel, 3 string symbol, 4 string symbolId, 5 int64 createTime, 6 int64 sendTime, "
        "308 Kline publicSpotKline, 313 Depths publicAggreDepths"
    ),
}
"""Number, type and name of each field; a star marks a repeated one."""


@cache
def push_class() -> Any:
    """Return the class of a whole message, ``Push``, which holds a kline or the changes of a book."""
    # Protobuf takes longer to import than all the rest, and most programs never need it.
    from google.protobuf import (  # noqa: PLC0415  # see above
        descriptor_pb2,
        descriptor_pool,
        message_factory,
    )

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="mexc.proto", package="mexc", syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for text in fields.split(", "):
            number, kind, field = text.split()
            message.field.add(
                name=field,
                number=int(number),
                label=kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL,
                type={"string": kinds.TYPE_STRING, "int64": kinds.TYPE_INT64}.get(kind, kinds.TYPE_MESSAGE),
                type_name=f".mexc.{kind.rstrip('*')}" if kind[0].isupper() else None,
            )
    # A separate pool, since the names may be used in the default one.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("mexc.Push"))


def read_push(frame: bytes) -> Any:
    """
    Parse the message in a frame; fields not used here are left out.

    Raises:
        MalformedResponse: It is not a protobuf message of that kind.
    """
    message = push_class()()
    try:
        message.ParseFromString(frame)
    except _decode_error() as error:
        raise MalformedResponse(f"not a message of MEXC's sockets: {error}; it begins {frame[:40]!r}") from error
    return message


@cache
def _decode_error() -> type[Exception]:
    from google.protobuf.message import DecodeError  # noqa: PLC0415  # as above

    return DecodeError
