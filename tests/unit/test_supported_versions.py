"""The Pythons and RabbitMQs that are supported: every place that names them names the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from rpcsvc import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
WORKFLOW = (ROOT / ".github" / "workflows" / "test.yml").read_text("utf-8")
PAGE = (ROOT / "docs" / "upgrading.md").read_text("utf-8")


def supported(what: str) -> list[str]:
    """The versions that docs/upgrading.md names."""
    (row,) = re.findall(rf"^\| {what} \| ([^|]+) \|", PAGE, re.MULTILINE)
    return re.findall(r"\d+\.\d+", row)


def in_workflow(what: str) -> list[str]:
    """The versions of the matrix: its own row, then those of single combinations."""
    found = re.findall(rf"^ +(?:- {{ .*)?\b{what}: (\[.*\]|\"[^\"]+\")", WORKFLOW, re.MULTILINE)
    return [version for each in found for version in re.findall(r'"([^"]+)"', each)]


def test_every_supported_python_is_a_classifier_and_in_the_workflow() -> None:
    pythons = supported("Python")
    named = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", each) for each in PROJECT["classifiers"]]
    assert [each[1] for each in named if each] == pythons
    assert sorted(set(in_workflow("python"))) == pythons
    assert PROJECT["requires-python"] == f">={pythons[0]}"


def test_every_supported_rabbitmq_is_in_the_workflow_and_to_be_had_by_the_script() -> None:
    rabbitmqs = supported("RabbitMQ")
    tested = sorted(in_workflow("rabbitmq"), key=lambda version: [int(number) for number in version.split(".")])
    assert [version.rpartition(".")[0] for version in tested] == rabbitmqs
    script = (ROOT / "scripts" / "rabbitmq").read_text("utf-8")
    assert re.findall(r"^    (\d+\.\d+)\) suite=", script, re.MULTILINE) == rabbitmqs


def test_the_changelog_has_this_version_on_top() -> None:
    released = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert next(each for each in released if each != "Unreleased") == __version__
