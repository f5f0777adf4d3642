"""Functions for the tests of casts in workers: they note what they are told, and end in many ways."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from rpcsvc import Registry, Retry, RetryLater, current_call

registry = Registry(default="keep")


def note(path: str, text: object) -> None:
    """One line, whole, however many processes write."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.function
def keep(body: str | bytes) -> None:
    """Write the body to the file that it names before its first blank."""
    text = body.decode("latin-1") if isinstance(body, bytes) else body
    note(text.split()[0], f"{type(body).__name__}: {text}")


@registry.function
def done(path: str, text: object) -> None:
    note(path, text)


@registry.function(retry=Retry(attempts=3, back_off=4.0, on=(OSError,)))
def fail(path: str, how: str) -> None:
    """End as is asked for."""
    note(path, how)
    match how:
        case "OSError":
            raise ConnectionResetError(how)
        case "ValueError":
            raise ValueError(how)
        case "later":
            raise RetryLater(90)
        case "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)


@registry.function(idempotent=False)
def once(path: str) -> None:
    note(path, "once")
    raise RetryLater(60)


@registry.function(time_limit=0.3)
def hang(path: str) -> None:
    note(path, "begun")
    time.sleep(60)


@registry.function(soft_time_limit=0.2)
def linger(path: str) -> None:
    note(path, "begun")
    while True:
        pass


@registry.function
def wait_for(path: str, gate: str) -> str:
    """Say that it begins, and wait until a file is there."""
    note(path, "begun")
    while not Path(gate).exists():
        time.sleep(0.005)
    note(path, "done")
    return "done"


@registry.function
def come_back_in_a_child(path: str) -> None:
    """Fork, and return in both processes."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    note(path, child == 0)


@registry.function
def told() -> dict[str, Any] | None:
    """What a function is told of its call, in a thread of its own too."""
    seen: list[Any] = []
    thread = threading.Thread(target=lambda: seen.append(current_call()))
    thread.start()
    thread.join()
    call = current_call()
    assert call is not None
    assert seen[0].id == call.id
    return {
        "kind": call.kind,
        "method": call.method,
        "id": call.id,
        "message_id": call.message_id,
        "attempt": call.attempt,
        "first_published": call.first_published,
        "remaining": call.remaining,
        "deadline": call.deadline,
        "headers": dict(call.headers),
    }


told_at_import = current_call()


@registry.function
def told_outside() -> bool:
    return told_at_import is None
