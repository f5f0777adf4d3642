"""docs/security.md says which test holds each claim: each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CITED = sorted(set(re.findall(r"`(\w[\w/]*\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text("utf-8"))))


def test_the_page_cites_tests() -> None:
    assert len(CITED) > 40


@pytest.mark.parametrize(("file", "name"), CITED)
def test_a_cited_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
