"""The floors of the package: imports go down, or stay on their floor, wherever in a module they stand."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rpcsvc

PACKAGE = Path(rpcsvc.__file__).parent

# Every module of the package, without the package's name; "amqp.*" stands for a package and all that is in it that is
# not named by itself.
FLOORS = {
    0: ["errors.*", "deadline", "settings.*", "wire.names", "wire.sizes", "_version"],
    1: ["wire.*", "functions.*", "registry"],
    2: ["host.*", "amqp.*", "workers.*", "broker.*"],
    3: ["server.*", "client.*", "aio"],
    4: ["cli.*", "bench.*", "testing.*", "__main__", ""],
}
# On an upper floor for its neighbours' sake, and pure all the same.
PURE_BESIDES = ["host.logs", "host.stopping", "workers.pipe", "workers.work", "workers.job", "workers.pace"]
PURE_BESIDES += ["workers.losses"]
PURE_BESIDES += ["workers.supervisor", "workers.generations", "workers.restarts"]
PURE_BESIDES += [f"workers.inside.{name}" for name in ("casts", "dispatch", "exceptions", "many")]
PURE_BESIDES += ["client.pending", "client.sizing", "client.evidence", "client.given_up"]
PURE_BESIDES += ["client.outbox", "client.outgoing"]
PURE_BESIDES += [
    f"server.{name}" for name in ("asked", "calls", "casts", "counts", "engine", "kinds", "life", "message")
]
PURE_BESIDES += ["server.orders", "server.parts", "server.register", "server.remembered", "server.schedule"]
PURE_BESIDES += ["server.told"]
PURE_BESIDES += [f"amqp.{name}" for name in ("reconnect", "turns", "confirms", "arguments", "fastpath", "messages")]
PURE_BESIDES += ["amqp.acks", "server.holding"]
PURE_BESIDES += [f"bench.{name}" for name in ("load", "schedule", "latency", "tally", "results", "units", "tables")]

# What reads a clock, talks to the outside, or runs at a time of its own.
IMPURE = {"asyncio", "concurrent", "multiprocessing", "queue", "sched", "signal", "subprocess", "threading", "time"}
IMPURE |= {"io", "os", "pathlib", "pika", "psutil", "select", "selectors", "socket", "socketserver", "ssl", "uvloop"}
# A function that sleeps needs `time`; a deadline is measured elsewhere.
# Whether a registry is being imported stands in the environment, for programs that are started by it.
ALLOWED = {("functions.builtin.plain", "time"), ("functions.importing", "os")}
CALLING = {"client"}
SERVING = {"server", "functions", "workers"}
STRANGERS = [(CALLING, SERVING)]


def _matches(module: str, pattern: str) -> bool:
    room = pattern.removesuffix(".*")
    return module == room or (pattern.endswith(".*") and module.startswith(room + "."))


def _in(module: str, rooms: set[str]) -> bool:
    return any(_matches(module, room + ".*") for room in rooms)


def floor_of(module: str) -> int | None:
    found = [floor for floor, patterns in FLOORS.items() if module in patterns]
    found = found or [floor for floor, patterns in FLOORS.items() for each in patterns if _matches(module, each)]
    assert len(found) <= 1, f"{module} stands on more than one floor"
    return found[0] if found else None


def imported(module: str, source: str, known: set[str]) -> Iterator[tuple[str, bool]]:
    """What a module imports: (name, whether it is one of ours). Ours come without the package's name.

    TYPE_CHECKING blocks and function bodies count: a type that a module must know of is a dependency too.
    """
    is_package = module == "" or any(name.startswith(module + ".") for name in known)
    here = module.split(".") if module else []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top, _, rest = alias.name.partition(".")
                yield (rest, True) if top == "rpcsvc" else (alias.name, False)
        elif isinstance(node, ast.ImportFrom):
            name = node.module or ""
            if node.level:
                base = here[: len(here) - (node.level - (1 if is_package else 0))]
                name = ".".join([*base, *name.split(".")] if name else base)
            elif name.partition(".")[0] == "rpcsvc":
                name = name.partition(".")[2]
            else:
                yield name, False
                continue
            for alias in node.names:
                below = f"{name}.{alias.name}" if name else alias.name
                yield (below if below in known else name), True


def violations(module: str, source: str, known: set[str]) -> list[str]:
    """Everything that a module imports and must not."""
    floor = floor_of(module)
    if floor is None:
        return [f"{module} stands on no floor: add it to the table"]
    wrong = []
    for name, is_ours in imported(module, source, known):
        if is_ours:
            wrong += _wrong_among_ours(module, floor, name)
            continue
        top = name.partition(".")[0]
        if floor == 0 and top not in sys.stdlib_module_names:
            wrong.append(f"{module} imports {name}: floor 0 takes the standard library only")
        if (floor == 1 or module in PURE_BESIDES) and top in IMPURE and (module, top) not in ALLOWED:
            wrong.append(f"{module} imports {name}: a pure floor knows no clock and no outside")
        if top == "pika" and not _matches(module, "amqp.*"):
            wrong.append(f"{module} imports {name}: pika stops at amqp")
    return wrong


def _wrong_among_ours(module: str, floor: int, name: str) -> list[str]:
    wrong = []
    theirs = floor_of(name)
    if theirs is None:
        wrong.append(f"{module} imports {name}, which stands on no floor")
    elif name == "":
        wrong += [] if module == "" else [f"{module} imports the public names of its own package"]
    elif theirs > floor:
        wrong.append(f"{module} (floor {floor}) imports {name} (floor {theirs}): imports go down")
    for one, other in STRANGERS:
        if (_in(module, one) and _in(name, other)) or (_in(module, other) and _in(name, one)):
            wrong.append(f"{module} imports {name}: client and server never know of each other")
    return wrong


def modules() -> dict[str, str]:
    """The text of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return found


MODULES = modules()
ROOMS = {name.rpartition(".")[0] for name in MODULES} - {"", "wire.many"}
README = Path(__file__).parents[2] / "README.md"
DESIGN = README.parent / "docs" / "design.md"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_downwards_only(module: str) -> None:
    assert violations(module, MODULES[module], set(MODULES)) == []


def test_every_room_of_the_table_is_in_the_package() -> None:
    patterns = [pattern for rooms in FLOORS.values() for pattern in rooms]
    assert [pattern for pattern in patterns if not any(_matches(module, pattern) for module in MODULES)] == []


def test_the_readme_names_every_room_and_every_module_outside_of_one() -> None:
    rows = re.findall(r"^\| (.*?) \|", README.read_text("utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`rpcsvc/([\w/]+(?:/|\.py))`", row)}
    alone = {f"{path.name}" for path in PACKAGE.glob("*.py")} - {"_version.py"}
    assert named == {module.replace(".", "/") + "/" for module in ROOMS} | alone


def test_the_design_shows_these_floors() -> None:
    rows = re.findall(r"^\| (\d) \w+ \| (.*?) \|", DESIGN.read_text("utf-8"), re.MULTILINE)
    shown = {int(floor): set(re.findall(r"`([\w.]+)`", rooms)) for floor, rooms in rows}
    assert shown == {
        floor: {room.removesuffix(".*") or "__init__" for room in rooms} for floor, rooms in FLOORS.items()
    }


def cycle_in(modules: dict[str, str]) -> list[str]:
    """Modules that import each other in a ring, wherever the imports stand; none if there is no ring."""
    known = set(modules)
    graph = {
        module: {name for name, is_ours in imported(module, source, known) if is_ours} & known - {module}
        for module, source in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_import_each_other_in_a_ring() -> None:
    assert cycle_in(MODULES) == []
    assert cycle_in({**MODULES, "errors": "if TYPE_CHECKING:\n    from ..wire import jsonrpc"})


@pytest.mark.parametrize("module", MODULES)
def test_no_module_and_no_function_is_too_long_to_be_read(module: str) -> None:
    source = MODULES[module]
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


# ---- the check proves itself ------------------------------------------------------------------------------------

KNOWN = {*MODULES, "wire.values.encoding", "amqp.connection", "workers.pool", "functions.builtin.plain", "nowhere"}


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("errors", "import orjson", "standard library only"),
        ("settings", "from ..wire import values", "imports go down"),
        ("deadline", "from .client.pending import Pending", "imports go down"),
        ("wire.jsonrpc", "from ..server.server import RpcServer", "imports go down"),
        ("wire.jsonrpc", "from rpcsvc.server.server import RpcServer", "imports go down"),
        ("wire.jsonrpc", "import rpcsvc.server.server", "imports go down"),
        ("workers.inside.dispatch", "import time", "no clock"),
        ("workers.inside.dispatch", "from asyncio import sleep", "no clock"),
        ("client.pending", "from concurrent.futures import Future", "no clock"),
        ("functions.registration", "def f():\n    import socket", "no clock"),
        ("functions.builtin.fibonacci", "import time", "no clock"),
        ("workers.pipe", "import socket", "no clock"),
        ("wire.values.encoding", "from ...workers.pool import WorkerPool", "imports go down"),
        ("wire.values", "from ...workers import pool", "imports go down"),
        ("server", "import pika", "pika stops at amqp"),
        ("wire.jsonrpc", "import pika.spec", "pika stops at amqp"),
        ("workers.pool", "from pika import spec", "pika stops at amqp"),
        ("client.sync", "from ..server.server import RpcServer", "never know of each other"),
        ("client.sync", "from .. import server", "never know of each other"),
        ("client.aio", "def f():\n    from ..server.server import RpcServer", "never know of each other"),
        ("server.server", "from ..client.sync import RpcClient", "never know of each other"),
        (
            "server.server",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..client.aio import X",
            "never know of each",
        ),
        (
            "server.server",
            "if True:\n    try:\n        from ..cli import main\n    except ImportError: pass",
            "imports go down",
        ),
        ("workers.inside.dispatch", "import rpcsvc", "public names"),
        ("workers.inside.dispatch", "from rpcsvc import RpcError", "public names"),
        ("workers.inside.dispatch", "from ... import RpcError", "public names"),
        ("cli.call", "from .. import RpcClient", "public names"),
        ("workers.inside.dispatch", "from ...nowhere import thing", "stands on no floor"),
        ("nowhere", "", "stands on no floor"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str, complaint: str) -> None:
    found = violations(module, source, KNOWN)

    assert len(found) >= 1
    assert any(complaint in sentence for sentence in found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("settings", "import os, json\nfrom ..errors import RpcError\nfrom ..deadline import Deadline"),
        (
            "workers.inside.dispatch",
            "import orjson\nfrom ...wire import jsonrpc, values\nfrom ...errors import RpcError",
        ),
        (
            "wire.values.encoding",
            "from ...errors import EncodingError\nfrom .limits import MAX_NESTING\nfrom .. import digits",
        ),
        ("wire.values", "from .encoding import encode\nfrom . import decoding"),
        ("functions.builtin.plain", "import time"),
        ("amqp.connection", "import asyncio, pika.spec\nfrom ..settings import BrokerUrl\nfrom . import transport"),
        ("workers.pool", "import socket\nfrom . import pipe\nfrom .inside.dispatch import dispatch"),
        ("server.server", "from ..amqp import Connection\nfrom ..workers.pool import WorkerPool"),
        ("client.sync", "from .aio import AsyncRpcClient"),
        ("cli.call", "from ..client.sync import RpcClient\nfrom .exits import ExitCode\nfrom ..wire import values"),
        (
            "",
            "from .client.sync import RpcClient\nfrom .server.server import RpcServer\nfrom . import errors",
        ),
    ],
)
def test_a_module_that_keeps_the_rules_is_left_in_peace(module: str, source: str) -> None:
    assert violations(module, source, KNOWN) == []
