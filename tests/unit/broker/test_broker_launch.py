"""What is shown of a node's log when it did not start."""

from __future__ import annotations

from pathlib import Path

from rpcsvc.broker.config import Layout
from rpcsvc.broker.launch import excerpt, printed_text


def test_the_excerpt_is_around_rabbitmqs_own_verdict_not_the_noise_after_it() -> None:
    line = "2026-01-02 03:04:05.678901+00:00 [error] <0.138.0> "
    log = f"{line}long before\n" + "x" * 5000 + f"\n{line}no such setting: a.b\n\nBOOT FAILED\n" + "crasher\n" * 5000

    shown = excerpt(log)

    assert "[error] no such setting: a.b\n\nBOOT FAILED\ncrasher" in shown
    assert "long before" not in shown
    assert len(shown) < 3000


def test_without_a_verdict_the_excerpt_is_the_end() -> None:
    assert excerpt("begin" + "." * 5000 + "end").endswith("...end")
    assert "begin" not in excerpt("begin" + "." * 5000 + "end")
    assert excerpt("short") == "short"


def test_what_is_shown_of_a_log_never_holds_the_password(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.logs.mkdir()
    assert printed_text(layout, "correct-horse") == "(empty)"

    layout.log.write_text("from the log: correct-horse\n")
    layout.startup_log.write_text("\n")
    assert printed_text(layout, "correct-horse") == "from the log: ***"

    layout.startup_log.write_text("printed: correct-horse\n")
    assert printed_text(layout, "correct-horse") == "printed: ***"
