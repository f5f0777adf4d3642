"""Finding RabbitMQ's server program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rpcsvc.broker.install import find_server, search_path
from rpcsvc.errors import BrokerNotInstalled


def unpack(folder: Path) -> Path:
    """Lay out a folder of scripts as RabbitMQ's packages do; the server program in it."""
    folder.mkdir(parents=True)
    (folder / "rabbitmq-env").write_text("")
    program = folder / "rabbitmq-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def wrapper(folder: Path, target: Path) -> None:
    """Put a wrapper on the PATH as Debian does: a link to a script that insists on a user of its own."""
    folder.mkdir()
    target.write_text("#!/bin/sh\nexit 1\n")
    target.chmod(0o755)
    (folder / "rabbitmq-server").symlink_to(target)


def test_a_well_known_place_is_found_though_a_wrapper_is_first_on_the_path(tmp_path: Path) -> None:
    program = unpack(tmp_path / "lib" / "bin")
    wrapper(tmp_path / "sbin", tmp_path / "lib" / "bin" / "rabbitmq-script-wrapper")

    found = find_server({"PATH": str(tmp_path / "sbin")}, [tmp_path / "lib" / "bin"])

    assert found == program


def test_a_program_on_the_path_comes_before_a_well_known_one(tmp_path: Path) -> None:
    ours = unpack(tmp_path / "ours")
    unpack(tmp_path / "packaged")

    assert find_server({"PATH": f":/nowhere:{tmp_path / 'ours'}"}, [tmp_path / "packaged"]) == ours


def test_a_link_on_the_path_leads_to_the_program_beside_its_scripts(tmp_path: Path) -> None:
    program = unpack(tmp_path / "cellar" / "sbin")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rabbitmq-server").symlink_to(program)

    assert find_server({"PATH": str(tmp_path / "bin")}, []) == program


@pytest.mark.parametrize("named", ["", "sbin", "sbin/rabbitmq-server"])
def test_an_unpacked_one_is_named_by_its_folder_its_sbin_or_its_program(tmp_path: Path, named: str) -> None:
    program = unpack(tmp_path / "rabbitmq" / "sbin")
    other = unpack(tmp_path / "other")

    found = find_server(
        {"RPCSVC_RABBITMQ_HOME": str(tmp_path / "rabbitmq" / named), "PATH": str(other.parent)}, [other.parent]
    )

    assert found == program


def test_a_wrong_name_is_said_and_no_other_program_is_taken_in_its_place(tmp_path: Path) -> None:
    other = unpack(tmp_path / "other")

    with pytest.raises(BrokerNotInstalled, match="RPCSVC_RABBITMQ_HOME"):
        find_server({"RPCSVC_RABBITMQ_HOME": str(tmp_path / "nothing")}, [other.parent])


def test_what_cannot_be_executed_is_passed_over(tmp_path: Path) -> None:
    unpack(tmp_path / "bad").chmod(0o644)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "rabbitmq-server").symlink_to("rabbitmq-server")
    good = unpack(tmp_path / "good")

    assert find_server({}, [tmp_path / "bad", tmp_path / "loop", tmp_path / "good"]) == good


@pytest.mark.parametrize(
    "way", ["apt-get install rabbitmq-server", "brew install rabbitmq", "docker run", "RPCSVC_URL=amqp://"]
)
def test_without_rabbitmq_the_error_names_every_way_to_get_one(tmp_path: Path, way: str) -> None:
    with pytest.raises(BrokerNotInstalled) as caught:
        find_server({"PATH": str(tmp_path)}, [tmp_path / "lib"])

    assert way in str(caught.value)


def test_the_search_path_keeps_the_callers_order_and_adds_the_usual_places() -> None:
    folders = search_path({"PATH": "/opt/erlang/bin:/bin"}).split(os.pathsep)

    assert folders[:2] == ["/opt/erlang/bin", "/bin"]
    assert {"/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"} <= set(folders)
    assert len(folders) == len(set(folders))
