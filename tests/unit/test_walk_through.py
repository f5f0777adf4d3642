"""docs/walk-through.md names what is there: the states and events of the three tables, and the files."""

from __future__ import annotations

import re
from pathlib import Path

import rpcsvc
from rpcsvc.client import messages
from rpcsvc.client.engine import LIFE
from rpcsvc.server import engine, message
from rpcsvc.workers import supervisor

PACKAGE = Path(rpcsvc.__file__).parent
PAGE = (PACKAGE.parent / "docs" / "walk-through.md").read_text("utf-8")
KINDS = (
    messages.State,
    messages.Event,
    message.State,
    message.Event,
    supervisor.State,
    supervisor.Event,
    supervisor.Order,
)


def test_each_word_in_capitals_is_of_a_table() -> None:
    named = set(re.findall(r"`([A-Z_]+)`", PAGE)) - {"LIFE", "TABLE", "CAPITALS"}
    assert len(named) > 15
    assert named <= {name for kind in KINDS for name in kind.__members__}
    assert all((LIFE, engine.TABLE, supervisor.TABLE))


def test_each_file_is_there() -> None:
    named = set(re.findall(r"`(?:rpcsvc/)?(\w+/[\w/]+\.py)`", PAGE))
    assert len(named) > 15
    assert [name for name in named if not (PACKAGE / name).is_file()] == []
