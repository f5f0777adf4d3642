"""Tutorial two, work queues: tasks that take a second a dot, shared by workers, and not lost when one of them dies."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.processes import ServerProcess, wait_until
from support.terminal import Start, Terminal

FOLDER = Path(__file__).parents[2] / "clients" / "tutorials" / "two"
READY = "[*] Waiting for messages."
TASK = "a task of three seconds..."
KOREAN = "안녕하세요, 세계! 😀"


def done(worker: Terminal) -> int:
    return worker.lines.count("[x] Done")


def send(start: Start, program: str, *tasks: str, older: bool = False) -> None:
    for task in tasks:
        sender = start(program, task, older=older) if older else start(program, task)
        assert sender.wait() == 0, sender.output
        assert sender.lines == [f"[x] Sent {task}"]


@pytest.fixture(params=["two/new_task.py", "new_task"], ids=["ours", "the original's"])
def tasks(request: pytest.FixtureRequest, ours: Start, original: Start) -> tuple[Start, str]:
    """The program that sends tasks, and what starts it."""
    return (ours if "/" in request.param else original), request.param


def test_a_task_takes_a_second_a_dot_and_says_what_it_is(tasks: tuple[Start, str], ours: Start) -> None:
    worker = ours("two/worker.py")
    worker.wait_for(READY)
    send(*tasks, KOREAN + "...")
    worker.wait_for(f"[x] Received {KOREAN}...")
    received = time.monotonic()
    worker.wait_for("[x] Done")
    assert time.monotonic() - received > 2, "it was seen a moment after it came"
    assert worker.lines[-2:] == [f"[x] Received {KOREAN}...", "[x] Done"]


def test_a_long_task_does_not_hold_up_short_ones(tasks: tuple[Start, str], ours: Start) -> None:
    endless = "endless" + "." * 600
    worker = ours("two/worker.py")
    worker.wait_for(READY)
    send(*tasks, endless)
    worker.wait_for(f"[x] Received {endless}")
    send(*tasks, "one", "two", "three")
    wait_until(lambda: done(worker) == 3)
    short = [line for name in ("one", "two", "three") for line in (f"[x] Received {name}", "[x] Done")]
    assert worker.lines[-7:] == [f"[x] Received {endless}", *short]
    worker.process.kill()


def test_the_task_of_a_pool_that_is_killed_is_done_by_another_one(tasks: tuple[Start, str], ours: Start) -> None:
    pools = [ours("two/worker.py"), ours("two/worker.py")]
    for pool in pools:
        pool.wait_for(READY)
    send(*tasks, TASK)
    wait_until(lambda: any(f"[x] Received {TASK}" in pool.lines for pool in pools))
    victim, other = sorted(pools, key=lambda pool: f"[x] Received {TASK}" not in pool.lines)
    victim.process.send_signal(signal.SIGKILL)
    other.wait_for(f"[x] Received {TASK}")
    other.wait_for("[x] Done")
    assert "[x] Done" not in victim.lines


def test_the_task_of_a_worker_that_is_killed_is_done_by_another_one(tasks: tuple[Start, str], ours: Start) -> None:
    pool = ours("two/worker.py")
    pool.wait_for(READY)
    send(*tasks, TASK)
    pool.wait_for(f"[x] Received {TASK}")
    for worker in workers(pool):
        worker.kill()
    wait_until(lambda: pool.lines.count(f"[x] Received {TASK}") == 2, within=20)
    pool.wait_for("[x] Done")
    assert done(pool) == 1


def workers(pool: Terminal) -> list[psutil.Process]:
    """The worker processes: the children of the server's one child, which forks them."""
    return [worker for child in psutil.Process(pool.process.pid).children() for worker in child.children()]


def test_the_task_of_an_original_worker_that_is_killed_is_done_by_our_pool(ours: Start, original: Start) -> None:
    theirs = original("worker")
    theirs.wait_for(READY)
    send(original, "new_task", TASK)
    theirs.wait_for(f"[x] Received {TASK}")
    theirs.process.send_signal(signal.SIGKILL)
    worker = ours("two/worker.py")
    worker.wait_for(f"[x] Received {TASK}")
    worker.wait_for("[x] Done")
    assert "[x] Done" not in theirs.lines


@pytest.mark.parametrize("older", [False, True], ids=["quorum", "classic"])
def test_our_pool_and_the_originals_worker_share_the_tasks(ours: Start, original: Start, older: bool) -> None:
    theirs = original("worker", older=older)
    theirs.wait_for(READY)
    worker = ours("two/worker.py")
    worker.wait_for(READY)
    send(original, "new_task", "one", "two", "three", "four", older=older)
    wait_until(lambda: done(worker) + done(theirs) == 4)
    assert done(worker) >= 1 <= done(theirs)


def test_what_is_no_text_is_a_dead_letter_and_the_pool_goes_on(ours: Start, original: Start, channel: Any) -> None:
    send(original, "new_task", "before it")
    channel.basic_publish("", "task_queue", "café".encode("latin-1"))
    send(original, "new_task", "behind it")
    worker = ours("two/worker.py")
    wait_until(lambda: done(worker) == 2)
    wait_until(lambda: channel.queue_declare("task_queue.dead", passive=True).method.message_count == 1)
    _, _, letter = channel.basic_get("task_queue.dead")
    assert letter == b"caf\xe9"


def test_the_command_serves_the_same_tasks(url: str, original: Start) -> None:
    send(original, "new_task", KOREAN)
    with ServerProcess(
        url, "--workers", "1", "--casts-from", "task_queue", registry="worker:registry", cwd=FOLDER
    ) as server:
        wait_until(lambda: " [x] Done" in server.output)
        assert f" [x] Received {KOREAN}\n" in server.output
