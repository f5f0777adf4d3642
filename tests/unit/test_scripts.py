"""The scripts: what they say where they cannot do what they are asked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run(tmp_path: Path, *words: str, fake: str | None = None) -> tuple[int, str, str]:
    """Exit code, output and complaint of a script.

    Args:
        fake: a program that fails and says a number that is not 0, before the real one on the PATH.
    """
    programs = tmp_path / "bin"
    programs.mkdir()
    if fake is not None:
        (programs / fake).write_text("#!/bin/sh\necho 1000\nexit 1\n")
        (programs / fake).chmod(0o755)
    done = subprocess.run(
        [SCRIPTS / words[0], *words[1:]],
        env={"PATH": f"{programs}:{os.environ['PATH']}", "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("without", [pytest.param("id", id="root"), pytest.param("unshare", id="mounts")])
@pytest.mark.parametrize("words", [("rabbitmq", "get", "4.3"), ("test", "--rabbitmq", "4.3", "tests/unit")])
def test_a_rabbitmq_that_cannot_be_had_is_a_failure_with_a_sentence_and_no_skip(
    tmp_path: Path, words: tuple[str, ...], without: str
) -> None:
    if any(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-4.3.*")):
        pytest.skip("this machine's own is of that version")
    code, output, complaint = run(tmp_path, *words, fake=without)
    assert (code, output) == (1, "")
    assert complaint.startswith("rabbitmq: RabbitMQ 4.3 ")
    assert "unpack one of that version yourself and name its folder in RPCSVC_RABBITMQ_HOME" in complaint
    assert not (tmp_path / "cache").exists()


def test_a_version_of_rabbitmq_that_no_release_of_debian_has_is_refused(tmp_path: Path) -> None:
    code, output, complaint = run(tmp_path, "test", "--rabbitmq", "3.8")
    assert (code, output) == (2, "")
    assert complaint.startswith("rabbitmq: there are 3.10, 4.0 and 4.3, not 3.8; for another one, unpack one")


@pytest.mark.parametrize("option", ["--rabbitmq", "--python"])
def test_an_option_without_its_value_is_refused(tmp_path: Path, option: str) -> None:
    assert run(tmp_path, "test", option) == (2, "", f"test: {option} wants a value\n")


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    code, output, complaint = run(tmp_path, "test", "--python", "python3.99")
    assert (code, output) == (2, "")
    assert complaint.endswith(
        "test: python3.99 is no Python that runs here; name the program, python3.13 for instance\n"
    )
