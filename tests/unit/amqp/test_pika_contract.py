"""What we lean on inside pika. When a release of pika changes any of it, this says so before users do."""

from __future__ import annotations

import inspect

import pika.connection
import pika.heartbeat
import pytest

ADAPTER = {
    "_adapter_add_callback_threadsafe": ["self", "callback"],
    "_adapter_call_later": ["self", "delay", "callback"],
    "_adapter_connect_stream": ["self"],
    "_adapter_disconnect_stream": ["self"],
    "_adapter_emit_data": ["self", "data"],
    "_adapter_remove_timeout": ["self", "timeout_id"],
}
USED = {
    "_create_heartbeat_checker": ["self"],
    "_on_data_available": ["self", "data_in"],
    "_on_stream_connected": ["self"],
    "_on_stream_terminated": ["self", "error"],
    "_output_marshaled_frames": ["self", "marshaled_frames"],
    "_terminate_stream": ["self", "error"],
}


@pytest.mark.parametrize(("name", "parameters"), [*ADAPTER.items(), *USED.items()])
def test_the_connection_has_the_methods_that_the_transport_fills_in_or_calls(name: str, parameters: list[str]) -> None:
    method = getattr(pika.connection.Connection, name)
    assert list(inspect.signature(method).parameters) == parameters


def test_there_is_no_seventh_adapter_method() -> None:
    assert {name for name in dir(pika.connection.Connection) if name.startswith("_adapter_")} == set(ADAPTER)


def test_the_connection_keeps_the_state_that_the_transport_reads() -> None:
    source = inspect.getsource(pika.connection.Connection)
    for name in ("self._frame_buffer", "self.bytes_received", "self.bytes_sent", "self.frames_sent", "self._error"):
        assert name in source


def test_data_leaves_through_the_method_that_the_transport_replaces() -> None:
    source = inspect.getsource(pika.connection.Connection)
    assert source.count("self._adapter_emit_data(") == 1
    assert "self._adapter_emit_data(" in inspect.getsource(pika.connection.Connection._output_marshaled_frames)


def test_the_heartbeat_checker_has_the_parts_that_ours_replaces() -> None:
    checker = pika.heartbeat.HeartbeatChecker
    assert list(inspect.signature(checker._start_check_timer).parameters) == ["self"]
    assert "self._check_interval," in inspect.getsource(checker._start_check_timer)
    assert isinstance(checker.connection_is_idle, property)
    assert "self._idle_byte_intervals += 1" in inspect.getsource(checker._check_heartbeat)
    assert "self._timeout = timeout" in inspect.getsource(checker.__init__)


def test_heartbeats_are_judged_by_the_bytes_that_came_in() -> None:
    assert "bytes_received" in inspect.getsource(pika.heartbeat.HeartbeatChecker)
