"""When a silent broker is given up: after two heartbeats (AMQP 0-9-1, section 4.2.7).

pika's own checker looks once in `heartbeat + 5` seconds, so it may take two of these: with a heartbeat of 2 seconds up
to 14. This one looks four times a heartbeat, and gives up in 2 to 2.25 heartbeats. It counts looks, not seconds: a
process that was stopped for a while does not take its own absence for the broker's.
"""

from __future__ import annotations

import pika.heartbeat

_LOOKS = 4
_SILENT_HEARTBEATS = 2


class HeartbeatChecker(pika.heartbeat.HeartbeatChecker):  # type: ignore[misc]  # pika is untyped
    """Sends heartbeats as pika does, and notices their absence sooner."""

    @property
    def connection_is_idle(self) -> bool:
        """Whether nothing came for two heartbeats."""
        return bool(self._idle_byte_intervals >= _LOOKS * _SILENT_HEARTBEATS)

    def _start_check_timer(self) -> None:
        self._check_interval = self._timeout / _LOOKS
        super()._start_check_timer()
