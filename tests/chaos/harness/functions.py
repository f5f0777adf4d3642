"""What the servers of a run serve: harmless functions whose results can be checked, and poison of every kind.

Rules: the first argument is the call's token, unique in a run. Each function appends to the history that it began and
that it ended. `answer` gives the result that is right, anywhere, without the work; where it comes from is the token, so
a reply that went to another call cannot be right.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import random
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from rpcsvc import Registry, Retry, current_call
from rpcsvc.functions import registry as built_in

from .history import Finished, History, Started, now

F = TypeVar("F", bound=Callable[..., Any])

TRACE_VARIABLE = "RPCSVC_CHAOS_TRACE"
"""The environment variable that names the file of the workers' history."""

registry = Registry(default="fib")
registry.include(built_in)

_functions: dict[str, Callable[..., Any]] = {}
_answers: dict[str, Callable[..., Any]] = {}
NON_IDEMPOTENT: set[str] = set()
"""Functions whose calls may begin once at most."""
NATURAL: dict[str, frozenset[str]] = {}
"""Outcomes that functions of poison end in by themselves."""


@functools.cache
def _history() -> History | None:
    path = os.environ.get(TRACE_VARIABLE)
    return None if path is None else History(Path(path))


def _served(
    *, answer: Callable[..., Any] | None = None, ends: tuple[str, ...] = (), **options: Any
) -> Callable[[F], F]:
    """Register a function that tells the history of its calls. Without an `answer` its own value is that."""

    def register(function: F) -> F:
        name = function.__name__

        @functools.wraps(function)
        def traced(token: str, *args: Any) -> Any:
            history = _history()
            if history is None:
                return function(token, *args)
            history.write(Started(now(), token, os.getpid()))
            raised = True
            try:
                value = function(token, *args)
                raised = False
                return value
            finally:
                history.write(Finished(now(), token, os.getpid(), raised))

        registry.function(**options)(traced)
        _functions[name] = function
        _answers[name] = function if answer is None else answer
        if options.get("idempotent") is False:
            NON_IDEMPOTENT.add(name)
        if ends:
            NATURAL[name] = frozenset(ends)
        return function

    return register


def answer(function: str, token: str, *args: Any) -> Any:
    """The right result of a call."""
    return _answers[function](token, *args)


def arguments(function: str, chance: random.Random) -> tuple[Any, ...]:
    """Arguments beside the token, such as the function is called with in a run."""
    match function:
        case "burn":
            return (chance.randrange(500, 8000),)
        case "nap":
            return (chance.uniform(0.0, 0.2),)
        case "once":
            return (chance.uniform(0.0, 0.15),)
        case "doze":
            return (0.2,)
        case "dawdle":
            return (4.0,)
        case "step":
            return (0.025,)
        case "stubborn":
            return (5,)
        case "linger" | "linger_once":
            return (chance.uniform(0.2, 2.0),)
        case "payload":
            return (chance.randbytes(chance.randrange(1, 40_000)),)
    return ()


# ---- harmless


@_served()
def tiny(token: str) -> int:
    """A large integer that belongs to the token alone."""
    fib = _fib(zlib.crc32(token.encode()) % 3000 + 300)
    return fib ^ int(hashlib.sha256(token.encode()).hexdigest(), 16)


@_served()
def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _reversed(token: str, _seconds: float) -> str:
    return token[::-1]


@_served()
def burn(token: str, rounds: int) -> bytes:
    """Some milliseconds of computing."""
    value = token.encode()
    for _ in range(rounds):
        value = hashlib.sha256(value).digest()
    return value


@_served(answer=_reversed)
def nap(token: str, seconds: float) -> str:
    time.sleep(seconds)
    return token[::-1]


@_served(answer=lambda token: token[::-1])
def long(token: str) -> str:
    """Longer than other calls by far."""
    time.sleep(3.0)
    return token[::-1]


@_served()
def payload(token: str, data: bytes) -> list[Any]:
    """Some kilobytes, there and back."""
    return [token, data]


@_served(answer=_reversed, idempotent=False)
def once(token: str, seconds: float) -> str:
    """Must not begin twice for one token."""
    time.sleep(seconds)
    return token[::-1]


@_served(answer=_reversed)
def doze(token: str, seconds: float) -> str:
    """Longer than its caller waits, maybe."""
    time.sleep(seconds)
    return token[::-1]


@_served(answer=_reversed)
def dawdle(token: str, seconds: float) -> str:
    """Much longer than its caller waits, so that a worker which goes on with it is seen to."""
    time.sleep(seconds)
    return token[::-1]


@_served(answer=_reversed)
def step(token: str, seconds: float) -> str:
    time.sleep(seconds)
    return token[::-1]


@_served(answer=_reversed)
def stubborn(token: str, seconds: int) -> str:
    """C code that no signal interrupts: a lock that is waited for, which POSIX says goes on."""
    libc = ctypes.CDLL(None)
    mutex = ctypes.create_string_buffer(64)
    until = (ctypes.c_long * 2)(int(time.time()) + seconds, 0)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_timedlock(mutex, until)
    return token[::-1]


@_served(answer=_reversed)
def linger(token: str, seconds: float) -> str:
    time.sleep(seconds)
    return token[::-1]


@_served(answer=_reversed, idempotent=False)
def linger_once(token: str, seconds: float) -> str:
    time.sleep(seconds)
    return token[::-1]


@_served(retry=Retry(attempts=3, back_off=3.0, up_to=3.0))
def stumble(token: str) -> None:
    """Fails twice, and waits each time in the same two levels."""
    call = current_call()
    if call is not None and call.kind == "cast" and call.attempt <= 2:
        raise OSError(token)


@_served(retry=Retry(attempts=4, back_off=1.0))
def wobble(token: str) -> None:
    """Fails when it is tried first."""
    call = current_call()
    if call is not None and call.kind == "cast" and call.attempt == 1:
        raise OSError(token)


def _fib(n: int) -> int:
    """F(n) by plain addition: an oracle that shares nothing with what it is the oracle of."""
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


# ---- poison


class _Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text for you")

    __repr__ = __str__


@_served(ends=("FunctionRaised",))
def poison_raise(token: str) -> None:
    raise LookupError(token)


@_served(ends=("FunctionRaised",))
def poison_str(token: str) -> None:
    raise _Hostile(token)


@_served(ends=("FunctionRaised",))
def poison_system_exit(token: str) -> None:
    """Ends a program; here it is an exception like others."""
    sys.exit(3)


@_served(ends=("WorkerLost",))
def poison_exit(token: str) -> None:
    os._exit(3)


@_served(ends=("WorkerLost",))
def poison_segfault(token: str) -> None:
    ctypes.string_at(0)


@_served(ends=("TimeLimitExceeded",), time_limit=1.0)
def poison_deadlock(token: str) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


@_served(ends=("TimeLimitExceeded",), time_limit=1.0)
def poison_gil(token: str) -> None:
    """C code that keeps the interpreter's lock."""
    ctypes.PyDLL(None).sleep(60)


@_served(ends=("MemoryLimitExceeded",), time_limit=5.0)
def poison_memory(token: str) -> None:
    """Take 20 MB every 20 ms, up to a size that the machine survives where nobody limits it."""
    held = []
    for _ in range(20):
        held.append(b"x" * 20_000_000)
        time.sleep(0.02)
    time.sleep(60)


@_served(ends=("ResultNotEncodable",))
def poison_huge(token: str) -> bytes:
    return bytes(65 << 20)


@_served(ends=("ResultNotEncodable",))
def poison_result(token: str) -> Any:
    return threading.Lock()


POISON = tuple(NATURAL)


# ---- given up


@_served(ends=("RpcTimeout",))
def hopeless(token: str) -> None:
    """Longer than anybody waits: the caller gives it up."""
    time.sleep(8.0)
