"""Limits of the server that apply before authentication."""

from __future__ import annotations

import resource
from collections.abc import Collection

from chandlery.service.refusals import Refusals
from chandlery.service.web.connections import Connections

MOST_HEAD = 16_384
"""Maximum size in bytes of a request line with headers."""
MOST_BODY = 1 << 20
"""Maximum size in bytes of a body."""
MOST_FORM = 65_536
"""Maximum size in bytes of a form, and of the part of every body that does not count towards ``MOST_BODIES``."""
MOST_BODIES = 8 << 20
"""Maximum size in bytes of all bodies being received, without the first ``MOST_FORM`` of each."""
MOST_PIPELINED = 16
"""Maximum number of pipelined requests per connection."""
HEAD_S = 10.0
"""Maximum time in seconds for a head, from its first byte, or from the start of a new connection."""
BODY_S = 30.0
"""Maximum time in seconds for a body."""
UNREAD_S = 60.0
"""Maximum time in seconds that a client may leave a response unread."""
LINGER_S, LINGER_BYTES = 2.0, 16 << 20
"""Time and size limits for discarding input after a refusal, so that the client can read the refusal."""

_RESERVED = 1_024
"""Descriptors reserved for the database, files and exchanges; at most half of all."""
_MOST_DESCRIPTORS = 1 << 16


def most_connections(descriptors: int) -> int:
    """Return the maximum number of connections for a number of descriptors."""
    return descriptors - min(descriptors // 2, _RESERVED)


def descriptors() -> int:
    """Raise the descriptor limit of this process as far as allowed, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _MOST_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
        return most
    return most if soft == resource.RLIM_INFINITY else soft


class Edge:
    """
    Limits of a server, and their counters.

    ``forms`` are the paths that accept only forms. ``unread_s`` limits how long a client may leave a response unread;
    ``head_s`` and ``body_s`` limit the receive time of a request.
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
        """Bytes of bodies being received, as ``MOST_BODIES`` counts them."""
