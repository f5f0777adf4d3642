"""The names that `ps` shows, where /proc is as it should be, and where it is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rpcsvc.workers.names import CommandLine

linux = sys.platform == "linux"
SHOW = """
import os, sys
from rpcsvc.workers.names import CommandLine, name_this_thread
line = CommandLine()
pid = os.fork()
line.show(sys.argv[1]); name_this_thread("a thread of some length")
name = open("/proc/self/comm").read().strip()
shown = open("/proc/self/cmdline", "rb").read()
if pid: os.waitpid(pid, 0)
print(name, shown.removesuffix(b"\\0").decode(errors="replace"), os.environ["HOME"], sep="|", flush=True)
"""


@pytest.mark.skipif(not linux, reason="there is no /proc elsewhere, where names stay as they are")
@pytest.mark.parametrize("text", ["rpcsvc: worker 3 of heavy:registry", "rpcsvc: " + "x" * 5000, "ü"])
def test_a_process_and_its_child_are_shown_by_the_name_they_give_themselves(text: str) -> None:
    command = [sys.executable, "-c", SHOW, text]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "HOME": "/home/me"})
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        name, shown, home = line.split("|")
        assert name == "a thread of som"
        assert shown == text[: len(shown)]
        assert len(shown) >= min(len(text), 300)
        assert home == "/home/me"


@pytest.mark.parametrize(
    "stat", [None, "", "1 (python) S", "1 (a) b) S " + "0 " * 60, "1 (python) S " + "9" * 30 + " x"]
)
def test_where_the_place_is_not_known_nothing_is_written(tmp_path: Path, stat: str | None) -> None:
    if stat is not None:
        (tmp_path / "stat").write_text(stat)
        (tmp_path / "cmdline").write_bytes(b"python\0")
        (tmp_path / "mem").write_bytes(b"something else")
    CommandLine(tmp_path).show("rpcsvc: worker 1")
    if stat is not None:
        assert (tmp_path / "mem").read_bytes() == b"something else"


def test_a_memory_that_may_not_be_written_to_is_left(tmp_path: Path) -> None:
    fields = ["0"] * 60
    fields[48 - 3], fields[49 - 3] = "4", "11"
    (tmp_path / "stat").write_text(f"1 (python) {' '.join(fields)}")
    (tmp_path / "cmdline").write_bytes(b"python\0")
    (tmp_path / "mem").write_bytes(b"....python\0....")
    line = CommandLine(tmp_path)
    (tmp_path / "mem").unlink()
    line.show("rpcsvc")
    assert repr(line) == "<CommandLine of 0 bytes>"


def test_the_text_is_cut_to_the_room_there_is(tmp_path: Path) -> None:
    fields = ["0"] * 60
    fields[48 - 3], fields[49 - 3] = "4", "11"
    (tmp_path / "stat").write_text(f"1 (python) {' '.join(fields)}")
    (tmp_path / "cmdline").write_bytes(b"python\0")
    (tmp_path / "mem").write_bytes(b"....python\0....")
    CommandLine(tmp_path).show("rpcsvc: worker 1")
    assert (tmp_path / "mem").read_bytes() == b"....rpcsv\0....."
