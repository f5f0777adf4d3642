"""What a private node is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from rpcsvc.broker.config import Credentials, Layout, check_folder, environment, rabbitmq_conf
from rpcsvc.errors import ConfigurationError

CREDENTIALS = Credentials("rpcsvc", "correct-horse", 5672)
LAYOUT = Layout(Path("/state/broker"))


def environ(inherited: dict[str, str] | None = None, cpus: int = 2) -> dict[str, str]:
    return environment(LAYOUT, inherited or {}, "/bin", 24369, cpus)


def test_the_node_listens_on_loopback_only() -> None:
    lines = rabbitmq_conf(CREDENTIALS, 5673, {}).splitlines()

    assert [line for line in lines if line.startswith("listeners")] == ["listeners.tcp.1 = 127.0.0.1:5673"]
    assert environ()["ERL_EPMD_ADDRESS"] == "127.0.0.1"
    assert environ()["ERL_AFLAGS"] == "-kernel inet_dist_use_interface {127,0,0,1}"


def test_extra_lines_are_added_and_replace_ours() -> None:
    text = rabbitmq_conf(CREDENTIALS, 5672, {"heartbeat": "7", "disk_free_limit.absolute": "1GB"})

    assert "heartbeat = 7\n" in text
    assert "disk_free_limit.absolute = 1GB\n" in text
    assert "50MB" not in text


@pytest.mark.parametrize("key", ["listeners.tcp.default", "listeners.tcp.2", "default_user", "default_pass"])
def test_the_listener_and_the_user_cannot_be_set(key: str) -> None:
    with pytest.raises(ConfigurationError, match=key):
        rabbitmq_conf(CREDENTIALS, 5672, {key: "0.0.0.0:5672"})


@pytest.mark.parametrize("value", ["5671", "0.0.0.0:5671", ":::5671", "127.0.0.10:5671"])
def test_a_further_listener_is_on_loopback_too(value: str) -> None:
    assert "listeners.ssl.1 = 127.0.0.1:5671\n" in rabbitmq_conf(
        CREDENTIALS, 5672, {"listeners.ssl.1": "127.0.0.1:5671"}
    )
    with pytest.raises(ConfigurationError, match="or nowhere"):
        rabbitmq_conf(CREDENTIALS, 5672, {"listeners.ssl.1": value})


@pytest.mark.parametrize(
    ("key", "value"), [("heartbeat", "7\nlisteners.tcp.2 = 5999"), ("", "7"), ("a = b\n", "7"), ("a=b", "7")]
)
def test_a_line_break_smuggles_nothing_in(key: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match="not a line"):
        rabbitmq_conf(CREDENTIALS, 5672, {key: value})


def test_nothing_of_the_callers_environment_reaches_the_node_but_time_zone_and_temporary_folder() -> None:
    inherited = {
        "TZ": "Europe/Berlin",
        "TMPDIR": "/scratch",
        "HOME": "/home/someone",
        "RABBITMQ_NODENAME": "rabbit@somewhere",
        "ERL_FLAGS": "-setcookie x",
        "NOTIFY_SOCKET": "/run/notify",
        "SECRET_TOKEN": "hidden",
    }

    seen = environ(inherited)

    assert (seen["TZ"], seen["TMPDIR"]) == ("Europe/Berlin", "/scratch")
    assert seen["HOME"] == "/state/broker"
    assert seen["RABBITMQ_NODENAME"] == "rpcsvc@localhost"
    assert not {"ERL_FLAGS", "NOTIFY_SOCKET", "SECRET_TOKEN"} & seen.keys()


def test_every_path_of_the_node_lies_in_its_folder() -> None:
    paths = {name: value for name, value in environ().items() if value.startswith("/") and name != "PATH"}

    assert len(paths) >= 10
    assert all(Path(value).is_relative_to("/state/broker") for value in paths.values())


@pytest.mark.parametrize(("cpus", "schedulers"), [(1, "+S 1:1"), (3, "+S 3:3"), (64, "+S 4:4")])
def test_a_large_machine_does_not_make_a_large_node(cpus: int, schedulers: str) -> None:
    assert schedulers in environ(cpus=cpus)["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]


def test_the_password_is_not_in_the_environment_nor_in_a_repr() -> None:
    assert "correct-horse" not in str(environ())
    assert "correct-horse" not in repr(CREDENTIALS)
    assert "correct-horse" not in repr(CREDENTIALS.url(5672))
    assert CREDENTIALS.url(5672).reveal() == "amqp://rpcsvc:correct-horse@127.0.0.1:5672/"


@pytest.mark.parametrize("name", ["it's", "$(touch x)", "`x`", "a;b", "a&b", 'a"b', "a\nb", "*"])
def test_a_folder_that_would_mean_something_to_a_shell_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="choose another folder"):
        check_folder(Path("/state") / name)


@pytest.mark.parametrize("name", ["with space", "größe", "a-b_c.d+e@f,g=h%i:j"])
def test_any_other_folder_is_taken(name: str) -> None:
    assert check_folder(Path("/state") / name).name == name
