"""Which broker is meant, and how many CPUs this process may use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rpcsvc.errors import ConfigurationError
from rpcsvc.settings import (
    FALLBACK_URL,
    BrokerUrl,
    _is_alive,
    broker_folder,
    find_url,
    find_urls,
    private_node_url,
    state_folder,
    usable_cpus,
)

PRIVATE_URL = "amqp://me:mine@127.0.0.1:5700/"


# ---- which broker -----------------------------------------------------------------------------------------------


def _node(folder: Path, **content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "node.json").write_text(json.dumps(content))
    return folder


def _environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path), **more}


def test_a_wrong_url_in_the_variable_is_told_by_the_variables_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^RPCSVC_URL: the broker's URL begins with 'http:'"):
        find_urls(None, _environ(tmp_path, RPCSVC_URL="http://ann:secret@h"))


def test_the_url_given_in_code_goes_before_everything(tmp_path: Path) -> None:
    _node(tmp_path / "rpcsvc" / "broker", pid=os.getpid(), url=PRIVATE_URL)
    assert find_url("amqp://code", _environ(tmp_path, RPCSVC_URL="amqp://variable")).host == "code"


def test_the_variable_goes_before_the_private_node(tmp_path: Path) -> None:
    _node(tmp_path / "rpcsvc" / "broker", pid=os.getpid(), url=PRIVATE_URL)
    assert find_url(None, _environ(tmp_path, RPCSVC_URL="amqp://variable")).host == "variable"


@pytest.mark.parametrize("variable", [{}, {"RPCSVC_URL": ""}])
def test_the_private_node_that_runs_is_found_without_being_told(tmp_path: Path, variable: dict[str, str]) -> None:
    _node(tmp_path / "rpcsvc" / "broker", pid=os.getpid(), url=PRIVATE_URL)
    assert find_url(None, _environ(tmp_path, **variable)).reveal() == PRIVATE_URL


def test_where_nothing_is_known_it_is_rabbitmqs_own_default(tmp_path: Path) -> None:
    assert find_url(None, _environ(tmp_path)) == BrokerUrl.parse(FALLBACK_URL)


def test_a_malformed_variable_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        find_url(None, _environ(tmp_path, RPCSVC_URL="mq.example.org"))


@pytest.mark.parametrize("by", ["code", "variable"])
def test_several_brokers_may_be_named(tmp_path: Path, by: str) -> None:
    urls = "amqp://first,amqp://second"
    found = find_urls(urls if by == "code" else None, _environ(tmp_path, RPCSVC_URL=urls))

    assert [node.host for node in found.nodes] == ["first", "second"]
    assert find_url(urls, _environ(tmp_path)).host == "first"


def test_a_list_of_no_brokers_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="empty"):
        find_urls([], _environ(tmp_path, RPCSVC_URL="amqp://variable"))


def test_a_node_whose_process_has_ended_is_not_found(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    assert private_node_url(_node(tmp_path, pid=ended.pid, url=PRIVATE_URL)) is None


def test_a_node_of_another_user_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int, signal_number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)  # as root, no process of this machine would refuse
    assert private_node_url(_node(tmp_path, pid=1, url=PRIVATE_URL)) == PRIVATE_URL


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"pid": 1}', b'{"pid": "x", "url": "amqp://h"}'])
def test_a_file_that_tells_of_no_node_is_no_node(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "node.json").write_bytes(content)
    assert private_node_url(tmp_path) is None


def test_a_process_number_that_none_can_have_is_no_node(tmp_path: Path) -> None:
    assert private_node_url(_node(tmp_path, pid=2**70, url=PRIVATE_URL)) is None


def test_no_folder_is_no_node(tmp_path: Path) -> None:
    assert private_node_url(tmp_path / "none") is None


@pytest.mark.parametrize("environ", [{}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "here/and/there"}])
def test_state_is_kept_in_the_home_folder_unless_an_absolute_path_says_otherwise(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/ann")

    assert state_folder(environ) == Path("/home/ann/.local/state/rpcsvc")
    assert broker_folder({"XDG_STATE_HOME": "/var/ann"}) == Path("/var/ann/rpcsvc/broker")


# ---- CPUs -------------------------------------------------------------------------------------------------------


def _root(folder: Path, membership: str, files: dict[str, str]) -> Path:
    """A machine's /proc and /sys, with this process in the cgroups that `membership` lists."""
    for name, content in {"proc/self/cgroup": membership, **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


V2 = "0::/shop/web\n"
V1 = "12:cpuset:/\n5:cpu,cpuacct:/docker/ab12\n1:name=systemd:/docker/ab12\n"
CPU = "sys/fs/cgroup/cpu,cpuacct"


@pytest.mark.parametrize(
    ("membership", "files", "cpus"),
    [
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "200000 100000\n"}, 2, id="v2"),
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "150000 100000\n"}, 2, id="v2, a part counts"),
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "5000 100000\n"}, 1, id="v2, never none"),
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "9900000 100000\n"}, 8, id="v2, more than there are"),
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "max 100000\n"}, 8, id="v2, no limit"),
        pytest.param(V2, {"sys/fs/cgroup/shop/web/cpu.max": "lots\n"}, 8, id="v2, not understood"),
        pytest.param(
            V2,
            {"sys/fs/cgroup/shop/web/cpu.max": "400000 100000\n", "sys/fs/cgroup/shop/cpu.max": "300000 100000\n"},
            3,
            id="v2, the parent's is tighter",
        ),
        pytest.param("0::/\n", {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2, a container's own root"),
        pytest.param(
            V1,
            {f"{CPU}/docker/ab12/cpu.cfs_quota_us": "200000\n", f"{CPU}/docker/ab12/cpu.cfs_period_us": "100000\n"},
            2,
            id="v1",
        ),
        pytest.param(
            V1,
            {f"{CPU}/cpu.cfs_quota_us": "100000\n", f"{CPU}/cpu.cfs_period_us": "50000\n"},
            2,
            id="v1, in a container that sees its own group as the root",
        ),
        pytest.param(
            V1,
            {f"{CPU}/docker/ab12/cpu.cfs_quota_us": "-1\n", f"{CPU}/docker/ab12/cpu.cfs_period_us": "100000\n"},
            8,
            id="v1, no limit",
        ),
        pytest.param(
            "12:cpuset:/\n",
            {"sys/fs/cgroup/cpuset/cpu.max": "100000 100000\n"},
            8,
            id="v1, another controller's files do not count",
        ),
        pytest.param(V2, {"cpu.max": "100000 100000\n"}, 8, id="nothing above the mount counts"),
        pytest.param(V2, {}, 8, id="no quota anywhere"),
    ],
)
def test_a_quota_cuts_down_the_cpus(tmp_path: Path, membership: str, files: dict[str, str], cpus: int) -> None:
    assert usable_cpus(_root(tmp_path, membership, files), affinity=8) == cpus


def test_a_machine_without_cgroups_has_no_quota(tmp_path: Path) -> None:
    assert usable_cpus(tmp_path, affinity=6) == 6


def test_affinity_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {1, 3, 5}, raising=False)
    assert usable_cpus(tmp_path) == 3


@pytest.mark.parametrize(("count", "cpus"), [(6, 6), (None, 1)])
def test_where_there_is_no_affinity_the_cpus_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int | None, cpus: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    assert usable_cpus(tmp_path) == cpus


def test_a_process_that_has_ended_and_is_not_waited_for_yet_is_no_running_node(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert private_node_url(_node(tmp_path, pid=child.pid, url=PRIVATE_URL)) is None


@pytest.mark.parametrize("pid", [0, -1])
def test_a_pid_that_names_a_process_group_is_no_running_node(tmp_path: Path, pid: int) -> None:
    assert private_node_url(_node(tmp_path, pid=pid, url=PRIVATE_URL)) is None


def test_where_there_is_no_proc_a_living_process_counts_as_running(tmp_path: Path) -> None:
    assert _is_alive(os.getpid(), tmp_path)


def test_a_user_without_a_home_has_no_private_node_and_is_told_so_where_one_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", _nobody)
    assert find_url(None, {}).port == 5672
    with pytest.raises(ConfigurationError, match=r"no home folder.*XDG_STATE_HOME"):
        broker_folder({})
    assert broker_folder({"XDG_STATE_HOME": "/var/ann"}) == Path("/var/ann/rpcsvc/broker")


def _nobody(uid: int) -> None:
    raise KeyError(uid)
