"""How a pool is told to look after its workers."""

from __future__ import annotations

import pytest

from rpcsvc import ConfigurationError, RpcServer


def test_a_server_refuses_it_before_it_starts() -> None:
    with pytest.raises(ConfigurationError, match="max_calls_per_worker must be a whole number of at least 1, not 0"):
        RpcServer(max_calls_per_worker=0)
    with pytest.raises(ConfigurationError, match=r"memory_limit must be .* bytes, of at least 1048576, not 0"):
        RpcServer(memory_limit=0)


def test_a_server_that_does_not_run_is_not_reloaded() -> None:
    RpcServer().reload()
