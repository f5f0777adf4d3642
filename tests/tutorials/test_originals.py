"""The originals among themselves: what our programs are tried against is itself as the tutorials say."""

from __future__ import annotations

import pytest
from support.processes import wait_until
from support.terminal import Start

PAIRS = {
    "one": ("receive", [], "send", [], ["[x] Received Hello World!"]),
    "two": ("worker", [], "new_task", ["First", "task."], ["[x] Received First task.", "[x] Done"]),
    "three": ("receive_logs", [], "emit_log", [], ["[x] info: Hello World!"]),
    "four": ("receive_logs_direct", ["info"], "emit_log_direct", [], ["[x] info:Hello World!"]),
    "five": ("receive_logs_topic", ["*.info"], "emit_log_topic", [], ["[x] anonymous.info:Hello World!"]),
    "six": ("rpc_server", [], "rpc_client", [], ["[.] fib(30)"]),
}


@pytest.mark.parametrize("older", [False, True], ids=["today", "older"])
@pytest.mark.parametrize("tutorial", PAIRS)
def test_a_tutorials_two_programs_understand_each_other(original: Start, tutorial: str, older: bool) -> None:
    listens, keys, sends, words, heard = PAIRS[tutorial]
    listener = original(listens, *keys, older=older)
    wait_until(lambda: listener.lines)
    sender = original(sends, *words, older=older)
    assert sender.wait() == 0, sender.output
    wait_until(lambda: listener.lines[1:] == heard)


@pytest.mark.parametrize("program", ["receive_logs_direct", "receive_logs_topic"])
def test_who_asks_for_nothing_is_told_what_to_ask_for(original: Start, program: str) -> None:
    asker = original(program)
    assert asker.wait() == 1
    assert asker.lines[0].startswith(f"Usage: {program} ")


def test_three_ways_to_await_confirms_publish_everything(original: Start) -> None:
    publisher = original("publisher_confirms", "1000")
    assert publisher.wait() == 0, publisher.output
    for line, how in zip(publisher.lines, ("individually", "in batch", "and handled"), strict=True):
        assert line.startswith(f"[x] Published 1,000 messages {how}")
