"""How a pool is told to look after its workers."""

from __future__ import annotations

from typing import Any

import pytest

from rpcsvc import ConfigurationError, RpcServer
from rpcsvc.workers.lives import Care


@pytest.mark.parametrize(
    "options",
    [
        {"start_timeout": 0},
        {"cancel_grace": -1.0},
        {"restart_window": float("nan")},
        {"max_calls": 0},
        {"max_calls": 2.0},
        {"max_restarts": -1},
        {"max_restarts": True},
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Care(**options)


def test_no_grace_and_no_restarts_make_sense() -> None:
    assert Care(cancel_grace=0, max_restarts=0, max_calls=1)


def test_a_server_refuses_it_before_it_starts() -> None:
    with pytest.raises(ConfigurationError, match="max_calls_per_worker must be a whole number of at least 1, not 0"):
        RpcServer(max_calls_per_worker=0)
    with pytest.raises(ConfigurationError, match=r"memory_limit must be .* bytes, of at least 1048576, not 0"):
        RpcServer(memory_limit=0)


def test_a_server_that_does_not_run_is_not_reloaded() -> None:
    RpcServer().reload()
