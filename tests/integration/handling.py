"""Functions that are called with events and leave a trace. What they are to do stands in the events."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from rpcsvc import Event, Registry, Retry, current_call

registry = Registry()


def _note(event: Event, text: object) -> int:
    """Write one line into the file that the event names; how many there are now."""
    path = Path(event.body["trace"])
    with path.open("a") as file:
        file.write(f"{text}\n")
    return len(path.read_text().splitlines())


@registry.on("*.handled.once")
def note(event: Event) -> None:
    _note(event, f"{event.topic} {event.body['number']}")


@registry.on("*.tried", retry=Retry(attempts=3, back_off=1.0))
def fail_twice(event: Event) -> None:
    call = current_call()
    assert call is not None
    line = f"{call.kind} {call.attempt} {event.topic} {event.redelivered} {event.headers} {event.message_id}"
    if _note(event, line) < 3:
        raise OSError("not yet")


@registry.on("*.fatal")
def raise_always(event: Event) -> None:
    _note(event, "raised")
    raise LookupError("not today")


@registry.on("*.killing")
def kill_worker(event: Event) -> None:
    if _note(event, os.getpid()) < 2:
        os.kill(os.getpid(), signal.SIGKILL)


@registry.on("*.killing.once", idempotent=False)
def kill_worker_once(event: Event) -> None:
    _note(event, os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)
