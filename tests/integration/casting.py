"""Functions that leave a trace and then do well or badly. The pools of the tests about casts serve them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from rpcsvc import Registry, Retry, RetryLater, current_call

registry = Registry(default="take")


def _note(path: str, text: object) -> None:
    """One line, whole, however many processes write."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.function
def note(path: str, text: str) -> None:
    _note(path, text)


@registry.function(idempotent=False)
def note_once(path: str, text: str) -> None:
    _note(path, text)


@registry.function
def nap(seconds: float) -> None:
    time.sleep(seconds)


@registry.function
def take(body: Any) -> None:
    """Whatever a stranger sends; the first line says where to write it."""
    text = body.decode("latin-1") if isinstance(body, bytes) else body
    path, _, rest = text.partition("\n")
    _note(path, f"{type(body).__name__} {rest}")


@registry.function
def tell(path: str) -> None:
    """What is known of the cast that runs."""
    call = current_call()
    assert call is not None
    _note(path, f"{call.kind} {call.message_id} {call.attempt} {call.headers.get('trace')}")


@registry.function
def raise_always(path: str) -> None:
    _note(path, "raised")
    raise LookupError("not today")


@registry.function(retry=Retry(attempts=3, back_off=1.0))
def fail_twice(path: str) -> None:
    """Fails twice, and notes when it was called."""
    _note(path, time.time())
    if len(Path(path).read_text().splitlines()) < 3:
        raise OSError("not yet")


@registry.function(retry=Retry(attempts=2, back_off=0.0))
def fail_always(path: str) -> None:
    _note(path, "failed")
    raise OSError("never")


@registry.function(idempotent=False)
def later_once(path: str, seconds: float) -> None:
    """Asks for another time, once; must not run twice."""
    _note(path, time.time())
    if len(Path(path).read_text().splitlines()) < 2:
        raise RetryLater(seconds)


@registry.function
def kill_worker(path: str, times: int) -> None:
    """Takes its worker down so many times."""
    _note(path, os.getpid())
    if len(Path(path).read_text().splitlines()) <= times:
        os.kill(os.getpid(), signal.SIGKILL)


@registry.function(idempotent=False)
def kill_worker_once(path: str) -> None:
    _note(path, os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def _pass_gate(path: str, text: str, gate: str) -> None:
    _note(path, f"begun {text}")
    while not Path(gate).exists():
        time.sleep(0.01)
    _note(path, f"done {text}")


@registry.function
def pass_gate(path: str, text: str, gate: str) -> None:
    """Runs until the gate is there."""
    _pass_gate(path, text, gate)


@registry.function(idempotent=False)
def pass_gate_once(path: str, text: str, gate: str) -> None:
    _pass_gate(path, text, gate)


@registry.function
def pid() -> int:
    return os.getpid()
