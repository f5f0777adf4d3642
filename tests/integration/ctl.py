"""RabbitMQ's own command-line tools, pointed at a private node."""

from __future__ import annotations

import json
import os
import subprocess

from rpcsvc.broker import PrivateBroker, config, install
from rpcsvc.broker.config import Layout


def ctl(broker: PrivateBroker, *words: str, tool: str = "rabbitmqctl", answer: str = "") -> str:
    """What the tool prints; it must succeed. `answer` is what it reads, a password for instance."""
    layout = Layout(broker.folder)
    epmd_port = json.loads(layout.node_file.read_bytes())["epmd_port"]
    done = subprocess.run(
        [str(install.find_server().with_name(tool)), "--quiet", *words],
        env=config.environment(layout, os.environ, install.search_path(), epmd_port, 2),
        cwd=layout.folder,
        input=answer,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, f"{tool} {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
