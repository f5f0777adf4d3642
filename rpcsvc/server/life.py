"""What a server tells of its own life, as events for whoever hears `rpcsvc.#`. Pure.

    rpcsvc.server.started    rpcsvc.server.stopped    rpcsvc.worker.lost
    rpcsvc.call.failed       rpcsvc.cast.dead         rpcsvc.queue.deleted.<Q>

A courtesy: nothing waits for it, nothing is kept while there is no connection, and of one topic no more than some are
told in a second, the others counted (`untold`, in the next one). Nothing of it is on the way of a call that ends well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from ..deadline import Clock
from ..wire.events import queue_deleted
from ..wire.names import LIFE

STARTED, STOPPED = f"{LIFE}server.started", f"{LIFE}server.stopped"
WORKER_LOST = f"{LIFE}worker.lost"
CALL_FAILED = f"{LIFE}call.failed"
CAST_DEAD = f"{LIFE}cast.dead"
MOST = 100
"""Events of one topic in a second."""
_MOST_SENTENCE = 300


@dataclass(slots=True)
class _Told:
    """How many events of one topic were told in a second, and how many were not since."""

    second: int = 0
    count: int = 0
    untold: int = 0


class Life:
    """What one server tells.

    Args:
        queue: the one that it serves.
        who: what else is said in each event: its host, its process.
        clock: seconds, monotonic.

    Attributes:
        publish: publishes a body under a topic; None while nobody can.
    """

    def __init__(self, queue: str, who: Mapping[str, Any], clock: Clock) -> None:
        self._queue = queue
        self._who = {"queue": queue, **who}
        self._clock = clock
        self._told: dict[str, _Told] = {}
        self.publish: Callable[[str, bytes], None] | None = None

    def wants(self, topic: str) -> bool:
        """Whether one more of a topic is told now; else it is counted. Who is told so tells it."""
        if self.publish is None:
            return False
        second = int(self._clock())
        told = self._told.setdefault(topic, _Told())
        if told.second != second:
            told.second, told.count = second, 0
        if told.count >= MOST:
            told.untold += 1
            return False
        told.count += 1
        return True

    def tell(self, topic: str, **facts: Any) -> None:
        """Tell what `wants` has agreed to."""
        if self.publish is None:
            return
        told = self._told.setdefault(topic, _Told())
        if told.untold:
            facts["untold"], told.untold = told.untold, 0
        self.publish(topic, orjson.dumps({**self._who, **facts}, default=str))

    def say(self, topic: str, **facts: Any) -> None:
        """Tell something, unless there was too much of it."""
        if self.wants(topic):
            self.tell(topic, **facts)

    def failed(self, topic: str, method: str, error: Mapping[str, Any], **facts: Any) -> None:
        """Tell of a failure that `wants` has agreed to, by its JSON-RPC error object."""
        data = error.get("data")
        kind = data.get("type") if isinstance(data, Mapping) else None
        sentence = str(error.get("message", ""))[:_MOST_SENTENCE]
        self.tell(topic, method=method, code=error.get("code"), error=sentence, error_type=kind, **facts)

    def deleted(self) -> None:
        """Tell that the served queue was deleted."""
        self.say(queue_deleted(self._queue))


def error_in(response: bytes | None) -> tuple[Mapping[str, Any], int]:
    """The first error object in a response, and how many there are; one that is empty where none can be read."""
    try:
        told = orjson.loads((response or b"null").partition(b"\0")[0])
    except orjson.JSONDecodeError:
        told = None
    errors = [error for each in (told if isinstance(told, list) else [told]) for error in _errors(each)]
    return (errors[0] if errors else {}), max(1, len(errors))


def _errors(response: Any) -> list[Mapping[str, Any]]:
    if not isinstance(response, dict):
        return []
    found = [response.get("error")]
    result = response.get("result")
    if isinstance(result, dict) and isinstance(result.get("errors"), list):  # of many calls
        found += [each[1] for each in result["errors"] if isinstance(each, list) and len(each) == 2]
    return [error for error in found if isinstance(error, dict)]
