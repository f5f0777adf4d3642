"""The table in clients/tutorials: every program is in it, as long as it says, and no longer than its original."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "clients" / "tutorials"
ROW = re.compile(r"^\| .*? \| +(\d+) \| \[`([\w/]+\.py)`\]\((.*?)\) \| (\d+) \|", re.MULTILINE)
ROWS = [(int(row[1]), row[2], row[3], int(row[4])) for row in ROW.finditer((FOLDER / "README.md").read_text("utf-8"))]
MAY_BE_LONGER = "seven"
"""It shows more than its original, which is in no Python."""


def lines(text: str) -> int:
    """How many are neither blank nor comment."""
    return sum(bool(line.strip()) and not line.strip().startswith("#") for line in text.splitlines())


def test_every_program_has_its_row() -> None:
    assert sorted(path for _, path, _, _ in ROWS) == sorted(
        path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.py")
    )


@pytest.mark.parametrize(("original", "path", "link", "length"), ROWS, ids=[row[1] for row in ROWS])
def test_a_program_is_as_long_as_the_table_says_and_no_longer_than_its_original(
    original: int, path: str, link: str, length: int
) -> None:
    assert link == path
    assert lines((FOLDER / path).read_text("utf-8")) == length
    assert length <= original or path.startswith(MAY_BE_LONGER)
