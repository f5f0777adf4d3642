"""What users need in tests of their own: as the page says, and where it fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import ServerProcess

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"


def test_the_files_of_the_page_are_tests_that_pass(tmp_path: Path) -> None:
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S):
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_a_server_that_does_not_start_says_why(broker: PrivateBroker, queue: str) -> None:
    with pytest.raises(AssertionError, match=r"the server ended with exit code \d+:\n.*no_such_module"):
        ServerProcess("no_such_module:registry", "--queue", queue, url=broker.url)


def test_a_server_says_what_it_serves_and_how_it_ended(broker: PrivateBroker, queue: str) -> None:
    with ServerProcess("rpcsvc.functions:registry", "--workers", "1", "--queue", queue, url=broker.url) as server:
        assert repr(server) == f"<ServerProcess {server.pid} on {queue!r}: runs>"
        assert {process.ppid() for process in server.family()} >= {server.pid}
        server.signal(15)
        assert server.wait() == 0
        assert repr(server).endswith(": ended with 0>")
