"""`import rpcsvc`: what it offers, and what it leaves for later."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import rpcsvc
from rpcsvc import errors


def _loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after a statement."""
    program = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(rpcsvc.__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("name", rpcsvc.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    value = getattr(rpcsvc, name)

    assert value is getattr(rpcsvc, name)
    assert name in dir(rpcsvc)
    if isinstance(value, type):
        assert value.__name__ == name


def test_every_error_is_a_public_name() -> None:
    every = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert every <= set(rpcsvc.__all__)


def test_public_names_are_in_order_and_there_once() -> None:
    assert list(rpcsvc.__all__) == sorted(set(rpcsvc.__all__))


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'rpcsvc' has no attribute 'Celery'"):
        _ = rpcsvc.Celery
    assert not hasattr(rpcsvc, "_HIDDEN")


def test_importing_the_package_loads_none_of_what_costs() -> None:
    loaded = _loaded_by("import rpcsvc")

    assert "rpcsvc" in loaded
    assert not loaded & {"pika", "argparse", "rich", "asyncio", "orjson", "psutil", "pydantic", "numpy", "gmpy2"}


def test_a_client_needs_nothing_of_the_command_line_and_nothing_of_the_server() -> None:
    loaded = _loaded_by("from rpcsvc import RpcClient")

    assert "rpcsvc.client" in loaded
    assert not loaded & {"argparse", "rich", "pydantic", "psutil", "rpcsvc.server", "rpcsvc.functions", "rpcsvc.cli"}


@pytest.mark.parametrize(
    "module", ["functions.registration", "functions.builtin", "workers.inside.main", "workers.forkserver"]
)
def test_what_a_worker_holds_is_free_of_the_network(module: str) -> None:
    loaded = _loaded_by(f"import rpcsvc.{module}")

    assert f"rpcsvc.{module}" in loaded
    assert not loaded & {"pika", "asyncio", "uvloop", "rich", "numpy", "rpcsvc.client", "rpcsvc.server", "rpcsvc.amqp"}


@pytest.mark.parametrize(("module", "name"), [("aio", "AsyncRpcClient"), ("registry", "Registry")])
def test_a_name_that_has_moved_is_found_where_it_was_with_a_warning(module: str, name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"rpcsvc.{module}.{name} has moved; import it from rpcsvc"):
        found = getattr(importlib.import_module(f"rpcsvc.{module}"), name)

    assert found is getattr(rpcsvc, name)


@pytest.mark.parametrize(("module", "name"), [("client", "RpcClient"), ("server", "RpcServer"), ("functions", "fib")])
def test_a_room_has_the_names_that_are_looked_for_in_it_and_no_others(module: str, name: str) -> None:
    room = importlib.import_module(f"rpcsvc.{module}")

    assert getattr(room, name).__name__ == name
    with pytest.raises(AttributeError, match="nothing"):
        getattr(room, "nothing")  # noqa: B009 as an import asks


REGISTRY = """
import sys, types
from rpcsvc import Registry
from rpcsvc.workers.loading import load_registry
def f(x: {annotation}): pass
module = sys.modules["module"] = types.ModuleType("module")
module.registry = Registry()
module.registry.add(f)
load_registry("module:registry")
"""


def test_the_fork_server_loads_what_checks_arguments_only_if_an_annotation_needs_it() -> None:
    assert "pydantic" not in _loaded_by(REGISTRY.format(annotation="int | None").strip())
    assert "pydantic" in _loaded_by(REGISTRY.format(annotation="list[int]").strip())
