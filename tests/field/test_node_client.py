"""The client in `clients/node/`, which is written from docs/wire.md alone, on a real pool."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support.processes import ServerProcess

from rpcsvc.broker import PrivateBroker

CLIENT = Path(__file__).parents[2] / "clients" / "node"


@pytest.mark.parametrize("file", ["values", "client"])
def test_a_client_in_another_language_works_by_what_the_documentation_says(
    broker: PrivateBroker, server: ServerProcess, file: str
) -> None:
    assert (CLIENT / "node_modules").is_dir(), "`scripts/bootstrap test` installs what it needs, by npm"
    done = subprocess.run(
        ["node", "--test", "--test-reporter=tap", f"test/{file}.test.js"],
        cwd=CLIENT,
        env={**os.environ, "RPCSVC_URL": broker.url, "RPCSVC_QUEUE": server.queue},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
