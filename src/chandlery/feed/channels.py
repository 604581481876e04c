"""Channel numbers that an exchange assigns for the time of one connection."""

from __future__ import annotations

from collections.abc import Sequence

from chandlery.adapter.live import SocketRules


class AssignedChannels:
    """
    The answers of one connection that assigned a channel number, by number.

    The least recently used ones are dropped beyond twice the number of streams that the exchange allows.
    """

    def __init__(self, rules: SocketRules) -> None:
        self._rules = rules.channels
        self._most = 2 * rules.streams
        self._answers: dict[bytes, bytes] = {}

    @property
    def answers(self) -> Sequence[bytes]:
        """The answers, the most recently used last."""
        return [*self._answers.values()]

    def completed(self, message: bytes) -> bytes:
        """Return a message that carries a known number after the answer that assigned it and a line end; else the message."""
        if self._rules is None:
            return message
        carried = self._rules.carried.match(message)
        if carried is not None:
            answer = self._answers.pop(carried[1], None)
            if answer is None:
                return message
            self._answers[carried[1]] = answer
            return answer + b"\n" + message
        assigned = self._rules.assigned.search(message)
        if assigned is not None:
            self._answers.pop(assigned[1], None)
            self._answers[assigned[1]] = message.replace(b"\n", b" ")
            if len(self._answers) > self._most:
                del self._answers[next(iter(self._answers))]
        return message
