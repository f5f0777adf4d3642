"""Where RabbitMQ's server program is on this machine.

The program that is wanted is the one beside `rabbitmq-env`. What Debian puts on the PATH is a wrapper around it that
insists on the user `rabbitmq`. Resolving symbolic links and looking for the neighbour tells the two apart anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ..errors import BrokerNotInstalled

HOME_VARIABLE = "RPCSVC_RABBITMQ_HOME"
"""Names an unpacked RabbitMQ (the folder with `sbin` in it), its `sbin`, or the server program itself."""

WELL_KNOWN = (
    Path("/usr/lib/rabbitmq/bin"),  # Debian, Ubuntu, Fedora
    Path("/opt/homebrew/opt/rabbitmq/sbin"),  # Homebrew on Apple silicon
    Path("/usr/local/opt/rabbitmq/sbin"),  # Homebrew on Intel
)

EXTRA_PATH = ("/opt/homebrew/bin", "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin")
"""Where `erl` and the shell's tools are when a bare environment (cron, launchd) does not say so."""

_PROGRAM = "rabbitmq-server"


def find_server(environ: Mapping[str, str] = os.environ, well_known: Iterable[Path] = WELL_KNOWN) -> Path:
    """The server program: RPCSVC_RABBITMQ_HOME's, else the first fit one on the PATH, else a well-known one.

    Raises:
        BrokerNotInstalled: there is none; the sentence names the ways to get one.
    """
    home = environ.get(HOME_VARIABLE, "")
    if home:
        named = Path(home).expanduser()
        for candidate in (named, named / _PROGRAM, named / "sbin" / _PROGRAM, named / "bin" / _PROGRAM):
            if found := _real_program(candidate):
                return found
        raise BrokerNotInstalled(
            f"{HOME_VARIABLE} is {home!r}, but no {_PROGRAM} (with rabbitmq-env beside it) is there"
        )
    for candidate in (*_on_path(environ), *(folder / _PROGRAM for folder in well_known)):
        if found := _real_program(candidate):
            return found
    raise BrokerNotInstalled(
        "RabbitMQ is not installed on this machine. Install it (apt-get install rabbitmq-server, or brew install"
        f" rabbitmq), or name an unpacked one in {HOME_VARIABLE}, or use a broker that runs elsewhere:"
        " docker run --rm -p 127.0.0.1:5672:5672 rabbitmq, then RPCSVC_URL=amqp://guest:guest@127.0.0.1:5672/"
    )


def search_path(environ: Mapping[str, str] = os.environ) -> str:
    """The PATH for the node: the caller's, then the usual places that it lacks."""
    own = [folder for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    return os.pathsep.join([*own, *(folder for folder in EXTRA_PATH if folder not in own)])


def _on_path(environ: Mapping[str, str]) -> Iterator[Path]:
    for folder in environ.get("PATH", "").split(os.pathsep):
        if folder:
            yield Path(folder) / _PROGRAM


def _real_program(candidate: Path) -> Path | None:
    try:
        program = candidate.resolve()
        if program.name == _PROGRAM and os.access(program, os.X_OK) and (program.parent / "rabbitmq-env").is_file():
            return program
    except (OSError, RuntimeError):  # a loop of links is a RuntimeError before Python 3.13
        return None
    return None
