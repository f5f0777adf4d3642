"""The names on the wire stand in one place, and on the page that tells of the wire."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import rpcsvc
from rpcsvc.wire import names

PACKAGE = Path(rpcsvc.__file__).parent
WIRE = Path(__file__).parents[3] / "docs" / "wire.md"
NAMES = {name: value for name, value in vars(names).items() if name.isupper()}


def _texts(source: str) -> Iterator[tuple[int, str]]:
    """The line and the value of every text in a module, but for docstrings and parts of f-strings."""
    tree = ast.parse(source)
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def _second_homes(module: str, source: str) -> list[str]:
    return [f"{module}:{line}: {text!r}" for line, text in _texts(source) if text in NAMES.values()]


def test_no_module_writes_a_name_of_the_wire_again() -> None:
    modules = {str(path.relative_to(PACKAGE)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    del modules["wire/names.py"]

    assert [home for module, source in modules.items() for home in _second_homes(module, source)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('METHOD = "rpc.map"', ["m:1: 'rpc.map'"]),
        ('"""`rpc.map`"""\n\nif delivery.message_id == "again":\n    pass', ["m:3: 'again'"]),
        ('"""again"""\nHELP = "rpc.map is many calls"', []),
    ],
)
def test_a_planted_second_home_is_found(source: str, found: list[str]) -> None:
    assert _second_homes("m", source) == found


@pytest.mark.parametrize("name", NAMES)
def test_the_page_on_the_wire_knows_the_name(name: str) -> None:
    assert NAMES[name] in WIRE.read_text("utf-8")


def test_two_names_are_never_the_same_text() -> None:
    assert len(set(NAMES.values())) == len(NAMES)
