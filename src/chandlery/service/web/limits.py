"""How much of a client's the server takes before it knows more of it."""

from __future__ import annotations

import resource
from collections.abc import Collection

from chandlery.service.refusals import Refusals
from chandlery.service.web.connections import Connections

MOST_HEAD = 16_384
"""Bytes of a request line and its headers."""
MOST_BODY = 1 << 20
"""Bytes of a body."""
MOST_FORM = 65_536
"""Bytes of a form, and the part of every body that ``MOST_BODIES`` leaves out."""
MOST_BODIES = 8 << 20
"""Bytes of all bodies that are being received at once, without the first ``MOST_FORM`` of each."""
MOST_PIPELINED = 16
"""Requests of one connection that wait for the answers to earlier ones."""
HEAD_S = 10.0
"""How long a head may take, from the first byte on; of a new connection, from its beginning on."""
BODY_S = 30.0
"""How long a body may take."""
UNREAD_S = 60.0
"""How long a client may leave an answer untaken."""
LINGER_S, LINGER_BYTES = 2.0, 16 << 20
"""For how long, and for how many bytes, what still comes is thrown away after a refusal, so that the client can read that."""

_RESERVED = 1_024
"""Descriptors that are left for the database, files and exchanges; no more than half of all."""
_MOST_DESCRIPTORS = 1 << 16


def most_connections(descriptors: int) -> int:
    """How many connections a process takes that may open so many descriptors."""
    return descriptors - min(descriptors // 2, _RESERVED)


def descriptors() -> int:
    """How many descriptors this process may open, after that was raised as far as it may raise it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return most if soft == resource.RLIM_INFINITY else soft


class Edge:
    """
    The limits of a server, and what is counted for them.

    ``forms`` are the paths that take forms, and nothing else. ``unread_s`` is for how long a client may leave an answer
    untaken, ``head_s`` and ``body_s`` how long the parts of a request may take.
    """

    def __init__(
        self,
        connections: Connections,
        refusals: Refusals,
        *,
        forms: Collection[str] = (),
        unread_s: float = UNREAD_S,
        head_s: float = HEAD_S,
        body_s: float = BODY_S,
    ) -> None:
        self.connections = connections
        self.refusals = refusals
        self.forms = frozenset(forms)
        self.unread_s = unread_s
        self.head_s = head_s
        self.body_s = body_s
        self.bodies = 0
        """Bytes of bodies that are being received, as ``MOST_BODIES`` counts them."""
