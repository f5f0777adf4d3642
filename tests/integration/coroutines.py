"""Coroutine functions, for the tests of workers with an event loop."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rpcsvc import Registry, TimeLimitExceeded, current_call

registry = Registry()


def note(path: str, text: object) -> None:
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


@registry.function
async def wait(seconds: float, value: Any = None) -> Any:
    await asyncio.sleep(seconds)
    return value


@registry.function
async def where() -> list[int]:
    return [os.getpid(), threading.get_ident(), id(asyncio.get_running_loop())]


@registry.function
def plainly(value: int) -> int:
    return value


@registry.function
async def wait_noting(path: str, number: int, seconds: float) -> int:
    note(path, f"{number} begun")
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        note(path, f"{number} cancelled")
        raise
    finally:
        await asyncio.sleep(0.01)
        note(path, f"{number} tidied")
    return number


@registry.function(soft_time_limit=0.2)
async def over_softly(path: str) -> None:
    await wait_noting(path, 0, 60)


@registry.function(soft_time_limit=0.2)
async def give_what_there_is() -> str:
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return "what there is"
    return "all"


@registry.function(time_limit=0.4)
async def block() -> None:
    time.sleep(60)


@registry.function
async def fail(kind: str) -> None:
    await asyncio.sleep(0)
    raise {
        "TimeoutError": TimeoutError("mine"),
        "SystemExit": SystemExit(3),
        "KeyboardInterrupt": KeyboardInterrupt(),
        "CancelledError": asyncio.CancelledError(),
        "TimeLimitExceeded": TimeLimitExceeded("of another service"),
    }[kind]


@registry.function
async def leave_a_task_that_exits() -> str:
    async def leave() -> None:
        sys.exit(3)

    registry.left = asyncio.create_task(leave())  # type: ignore[attr-defined]
    return "left"


@registry.function
async def about_me(seconds: float) -> list[Any]:
    told = []

    async def ask() -> None:
        call = current_call()
        assert call is not None
        told.append([call.id, call.method])

    await ask()
    await asyncio.sleep(seconds)
    await asyncio.gather(ask(), ask())
    return told


@registry.function
async def fork_and_return() -> int:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return 7


@registry.function
async def echo_of_a_program() -> str:
    program = await asyncio.create_subprocess_exec(sys.executable, "-c", "print('hello')", stdout=-1)
    printed, _ = await program.communicate()
    return printed.decode().strip()


@registry.function
async def die() -> None:
    os.kill(os.getpid(), 9)
