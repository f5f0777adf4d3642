"""What a newcomer types, as it is printed or written, in a terminal that knows nothing of the checkout."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.processes import wait_until

from rpcsvc.broker import PrivateBroker

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def said(tmp_path: Path, queue: str) -> Iterator[str]:
    """What `scripts/serve` has printed by the time that its pool is ready."""
    environ = {name: value for name, value in os.environ.items() if name not in ("RPCSVC_URL", "PATH")}
    environ |= {"XDG_STATE_HOME": str(tmp_path / "state"), "PATH": os.defpath}
    with tempfile.TemporaryFile() as output:
        command = [ROOT / "scripts" / "serve", "--workers", "1", "--queue", queue]
        serve = subprocess.Popen(command, env=environ, stdout=output, stderr=output, cwd=tmp_path)

        def printed() -> str:
            return os.pread(output.fileno(), 100_000, 0).decode()

        try:
            wait_until(lambda: "ready:" in printed() or serve.poll() is not None, within=120)
            assert serve.poll() is None, printed()
            yield printed()
        finally:
            serve.send_signal(signal.SIGINT)
            serve.wait(60)
        assert serve.returncode == 0
        assert not PrivateBroker(tmp_path / "state" / "rpcsvc" / "broker").status().running, "it ends with the pool"


def test_what_the_pool_says_to_type_in_another_terminal_works_there(said: str, tmp_path: Path) -> None:
    lines = [line.strip() for line in said.splitlines() if line.startswith("    ")]
    assert len(lines) == 3
    call, python, path = lines
    environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "PATH": os.defpath, "HOME": str(tmp_path)}

    def typed(line: str) -> str:
        done = subprocess.run(
            ["bash", "-c", line], env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert typed(call) == "832040\n"
    assert "RpcClient" in typed(f'{python.partition("#")[0]} -c "from rpcsvc import RpcClient; print(RpcClient)"')
    assert typed(f"{path}\nrpcsvc {call.partition(' ')[2]}") == "832040\n"
