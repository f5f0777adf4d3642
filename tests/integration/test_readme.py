"""What the README and the pages of docs/ show, done: programs, commands, exchanges on the wire, tables.

How a page is read:

- A ```python block is a whole program. If its first line is `# name.py` it is that file, beside all other programs.
- A line of it that ends in `# -> …` shows a value (its repr), or what is printed. Each such line must be reached.
- A ```console block is a terminal: `$` and a command, then what it prints. `rpcsvc serve` runs for the whole module.
- A ```jsonrpc block holds bodies for the built-in functions: `-->` there, `<--` back; "…" stands for any text and any
  time in seconds.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import shlex
import signal
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy
import pika
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

import rpcsvc
from rpcsvc import RemoteError, errors
from rpcsvc.broker import PrivateBroker
from rpcsvc.cli.exits import ExitCode, exit_code
from rpcsvc.settings import DEFAULT_QUEUE
from rpcsvc.wire import values

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
BUILT_IN = "rpcsvc.functions:registry"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: on which page it stands, from which line on, in which language."""

    page: str
    line: int
    language: str
    text: str

    @property
    def file_name(self) -> str | None:
        named = re.match(r"# (\w+\.py)\n", self.text)
        return named[1] if named else None

    def __repr__(self) -> str:
        return f"{self.page}:{self.line}"


def read_blocks() -> list[Block]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page.name, line, match[1], match[2]))
    return found


BLOCKS = read_blocks()
PROGRAMS = [block for block in BLOCKS if block.language == "python" and block.file_name is None]
FILES = [block for block in BLOCKS if block.language == "python" and block.file_name is not None]


def read_commands() -> list[tuple[str, str]]:
    """Every command of every terminal, with what it prints."""
    commands = []
    for block in BLOCKS:
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                commands.append((command, output))
    return commands


COMMANDS = read_commands()
SERVES = dict(command for command in COMMANDS if command[0].startswith("rpcsvc serve"))
CALLS = [command for command in COMMANDS if command[0].startswith("rpcsvc call")]
PYTHONS = [command for command in COMMANDS if command[0].startswith("python ")]


def read_rows(page: str, heading: str) -> list[list[str]]:
    """The rows of the tables behind a heading, cell by cell, without the tables' heads."""
    text = (ROOT / page).read_text(encoding="utf-8")
    section = re.split(r"^## ", text.split(f"\n## {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    lines = [*section.splitlines(), ""]
    rows = [one for one, below in pairwise(lines) if one.startswith("| ") and not below.startswith("|---")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def codes(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# ---- the pools that the pages start


@pytest.fixture(scope="module")
def folder(broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the files of the pages are; the environment has the broker in it, as a reader's would."""
    folder = tmp_path_factory.mktemp("pages")
    for block in FILES:
        assert block.file_name is not None
        (folder / block.file_name).write_text(block.text, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("RPCSVC_URL", broker.url)
        yield folder


@pytest.fixture(scope="module")
def pools(broker: PrivateBroker, folder: Path) -> Iterator[dict[str, ServerProcess]]:
    """A server for each `rpcsvc serve` that the pages show."""
    running: dict[str, ServerProcess] = {}
    try:
        for command in SERVES:
            options = shlex.split(command)[2:]
            RabbitCtl(broker).delete_queue(dict(pairwise(options)).get("--queue", DEFAULT_QUEUE))
            registry = options.pop(0) if options and not options[0].startswith("-") else BUILT_IN
            running[command] = ServerProcess(broker.url, *options, registry=registry)
        yield running
    finally:
        for server in running.values():
            server.stop()


@pytest.mark.parametrize("command", SERVES)
def test_a_pool_says_what_the_page_shows(pools: dict[str, ServerProcess], command: str) -> None:
    def without_address(text: str) -> str:
        return re.sub(r"at amqp://\S+", "at …", text)

    assert without_address(SERVES[command]) in without_address(pools[command].output)


# ---- programs


class Instrument(ast.NodeTransformer):
    """Has each line that shows a value compare it."""

    def __init__(self, shown: dict[int, str]) -> None:
        self.shown = shown
        self.instrumented: set[int] = set()

    def visit_Expr(self, node: ast.Expr) -> ast.Expr:
        line = node.end_lineno or 0
        if line not in self.shown:
            return node
        self.instrumented.add(line)
        value, text = node.value, "repr"
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "print":
            value, text = value.args[0], "str"
        as_text = ast.Call(ast.Name(text, ast.Load()), [value], [])
        compare = ast.Call(ast.Name("_compare", ast.Load()), [ast.Constant(line), as_text], [])
        return ast.fix_missing_locations(ast.Expr(compare))


def instrumented(program: str) -> str:
    """The program, ending with an AssertionError where a shown value is another one or was never reached."""
    comments = [t for t in tokenize.generate_tokens(io.StringIO(program).readline) if t.type == tokenize.COMMENT]
    shown = {t.start[0]: t.string.removeprefix("# -> ") for t in comments if t.string.startswith("# -> ")}
    instrument = Instrument(shown)
    body = ast.unparse(instrument.visit(ast.parse(program)))
    assert instrument.instrumented == shown.keys(), "every shown value stands behind an expression"
    return "\n".join(
        (
            f"_shown = {shown!r}",
            "def _compare(line, text):",
            "    expected = _shown.pop(line, text)",
            "    assert text == expected, f'line {line}: {text} where the page shows {expected}'",
            body,
            "assert not _shown, f'never reached: {_shown}'",
        )
    )


@pytest.mark.parametrize("program", PROGRAMS, ids=repr)
def test_a_program_does_what_its_comments_show(folder: Path, pools: object, program: Block) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", instrumented(program.text)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_shown_value_that_is_wrong_is_noticed() -> None:
    with pytest.raises(AssertionError, match="line 1: 3 where the page shows 4"):
        exec(instrumented("1 + 2  # -> 4"), {})
    with pytest.raises(AssertionError, match="never reached"):
        exec(instrumented("if False:\n    1  # -> 1"), {})


# ---- commands


@pytest.mark.parametrize(("command", "output"), CALLS, ids=[command for command, _ in CALLS])
def test_a_call_prints_what_the_page_shows(folder: Path, pools: object, command: str, output: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == output


@pytest.mark.parametrize(("command", "output"), PYTHONS, ids=[command for command, _ in PYTHONS])
def test_a_pool_in_a_program_of_ones_own_serves_until_it_is_told_to_stop(
    folder: Path, command: str, output: str
) -> None:
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, *shlex.split(command)[1:]], cwd=folder, stdout=file)
    try:
        wait_until(lambda: "ready:" in log.read_text() or process.poll() is not None)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
    assert log.read_text() == output


# ---- the wire


def alike(shown: Any, real: Any) -> bool:
    """Equal, with "…" for any text and any time in seconds."""
    if isinstance(shown, dict) and isinstance(real, dict):
        return shown.keys() == real.keys() and all(alike(shown[name], real[name]) for name in shown)
    if isinstance(shown, list) and isinstance(real, list):
        return len(shown) == len(real) and all(map(alike, shown, real))
    return isinstance(real, str | float) if shown == "…" else type(shown) is type(real) and shown == real


EXCHANGES = [
    (request, reply)
    for block in BLOCKS
    if block.language == "jsonrpc"
    for request, reply in re.findall(r"^--> (.*)\n<-- (.*)\n", block.text, re.MULTILINE)
]


@pytest.mark.parametrize(("request_", "reply"), EXCHANGES, ids=[request[:60] for request, _ in EXCHANGES])
def test_an_exchange_goes_as_the_page_shows(broker: PrivateBroker, pools: object, request_: str, reply: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        replies: list[bytes] = []
        channel.basic_consume("amq.rabbitmq.reply-to", lambda _c, _m, _p, body: replies.append(body), auto_ack=True)
        properties = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to")
        channel.basic_publish("", "rpc_queue", request_.encode(), properties)
        connection.process_data_events(time_limit=5)
    (body,) = replies
    assert alike(json.loads(reply), json.loads(body)), body.decode()


@pytest.mark.parametrize(
    ("python", "wire"), [(codes(p)[0], codes(w)[0]) for p, w in read_rows("docs/wire.md", "Values")]
)
def test_a_value_travels_as_the_table_shows(python: str, wire: str) -> None:
    names = [Decimal, UUID, ZoneInfo, date, datetime, time, timedelta, timezone]
    value = eval(python, {"numpy": numpy, **{kind.__name__: kind for kind in names}})
    assert values.encode(value).decode() == wire
    back = values.decode(wire.encode())
    assert type(back) is type(value)
    assert repr(back) == repr(value)


# ---- tables, links and the map


def test_the_exit_codes_are_those_of_the_command() -> None:
    rows = read_rows("docs/command.md", "Exit codes")
    assert {codes(name)[0]: int(code) for code, name, _ in rows} == {c.name: c for c in ExitCode}


def test_every_outcome_of_a_call_has_its_exit_code() -> None:
    rows = read_rows("README.md", "What a call may end with")
    assert len(rows) > 10
    for row in rows:
        for name in codes(row[0]):
            kind = getattr(rpcsvc, name, None)
            if kind is None:
                assert name in ("ValueError", "TimeoutError", "ConnectionError", "RuntimeError", "LookupError")
            else:
                assert exit_code(kind.__new__(kind)) == int(row[-1].split()[0]), name


def test_every_error_that_a_server_may_answer_has_its_number() -> None:
    shown = {codes(row[1])[0]: int(row[0]) for row in read_rows("docs/wire.md", "Errors") if row[0].startswith("-32")}
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, RemoteError)]
    assert shown == {kind.__name__: kind.CODE for kind in kinds if kind is not RemoteError}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)(#[\w-]+)?\)", page.read_text(encoding="utf-8")):
        linked = page.parent / target if target else page
        assert linked.is_file(), target
        headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
        anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
        assert not anchor or anchor[1:] in anchors, anchor


def test_the_pages_are_read_at_all() -> None:
    assert {block.file_name for block in FILES} >= {"heavy.py", "shapes.py", "pool.py", "warm.py"}
    assert min(map(len, (PROGRAMS, SERVES, CALLS, EXCHANGES))) >= 3
