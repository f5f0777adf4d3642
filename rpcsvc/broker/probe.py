"""Whether a broker answers: asked in AMQP 0-9-1 on a plain socket, frame by frame, as its section 2.2.4 lays down.

client                      server
"AMQP" 0 0 9 1   ------->
                 <-------   Connection.Start
Start-Ok (PLAIN) ------->
                 <-------   Connection.Tune       or Close, or the end of the connection: the password is wrong
Tune-Ok, Open    ------->
                 <-------   Connection.Open-Ok
Close            ------->
                 <-------   Connection.Close-Ok
"""

from __future__ import annotations

import socket
import struct

from ..errors import AuthenticationFailed, ConnectionFailed
from ..settings import BrokerUrl

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
_FRAME_METHOD = 1
_FRAME_END = b"\xce"
_CONNECTION = 10
_START, _START_OK, _TUNE, _TUNE_OK, _OPEN, _OPEN_OK, _CLOSE, _CLOSE_OK = 10, 11, 30, 31, 40, 41, 50, 51
_CAPABILITIES = b"\x1cauthentication_failure_closet\x01"
"""Asks for a Close that says so if the password is wrong; else RabbitMQ lets us wait and then drops the connection."""
_MAX_FRAME = 131072
"""More than any broker's Connection.Start; what announces more is not a broker."""


def answers(url: BrokerUrl, *, timeout: float = 2.0) -> bool:
    """Whether something speaks AMQP at the URL's host and port (over TLS: whether the port is open). No user is needed.

    Args:
        timeout: seconds for each step.
    """
    try:
        with socket.create_connection((url.host, url.port), timeout) as connection:
            if url.tls:
                return True
            connection.sendall(_PROTOCOL_HEADER)
            # A frame, or the protocol header of another version.
            return connection.recv(1)[:1] in (b"\x01", b"A")
    except OSError:
        return False


def open_and_close(url: BrokerUrl, *, timeout: float = 2.0) -> None:
    """Open an AMQP connection as the URL's user, and close it.

    Args:
        timeout: seconds for each step.

    Raises:
        AuthenticationFailed: the broker refuses the user, the password or the virtual host.
        ConnectionFailed: nobody listens, what listens is no broker, or it did not answer in time.
    """
    try:
        with socket.create_connection((url.host, url.port), timeout) as connection:
            _converse(connection, url)
    except OSError as error:
        if isinstance(error, ConnectionFailed):
            raise
        raise ConnectionFailed(f"no AMQP connection to {url}: {error}") from error


def _converse(connection: socket.socket, url: BrokerUrl) -> None:
    connection.sendall(_PROTOCOL_HEADER)
    if _read_method(connection)[0] != _START:
        raise ConnectionFailed(f"{url} does not begin with Connection.Start: not an AMQP 0-9-1 broker")
    response = f"\0{url.user}\0{url.password}".encode()
    properties = _short(b"capabilities") + b"F" + _long(_CAPABILITIES)
    connection.sendall(_method(_START_OK, _long(properties) + _short(b"PLAIN") + _long(response) + _short(b"en_US")))
    try:
        method, tuned = _read_method(connection)
    except ConnectionError as error:
        raise AuthenticationFailed(f"{url} refused the user or the password") from error
    if method != _TUNE:
        raise AuthenticationFailed(f"{url} refused the user or the password")
    # No heartbeat: the connection is over in a moment.
    connection.sendall(_method(_TUNE_OK, tuned[:6] + b"\0\0") + _method(_OPEN, _short(url.vhost.encode()) + b"\0\0"))
    if _read_method(connection)[0] != _OPEN_OK:
        raise AuthenticationFailed(f"{url} refused the virtual host {url.vhost!r}")
    connection.sendall(_method(_CLOSE, struct.pack(">H", 200) + _short(b"done") + struct.pack(">HH", 0, 0)))
    _read_method(connection)


def _read_method(connection: socket.socket) -> tuple[int, bytes]:
    """The method's number within class Connection, and its arguments."""
    kind, _channel, size = struct.unpack(">BHI", _read_exactly(connection, 7))
    if kind != _FRAME_METHOD or not 4 <= size <= _MAX_FRAME:
        raise ConnectionFailed("what listens there does not speak AMQP 0-9-1")
    payload = _read_exactly(connection, size + 1)
    class_id, method = struct.unpack_from(">HH", payload)
    if class_id != _CONNECTION or payload[-1:] != _FRAME_END:
        raise ConnectionFailed("what listens there does not speak AMQP 0-9-1")
    return method, payload[4:-1]


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionResetError("the connection ended")
        data += chunk
    return data


def _method(method: int, arguments: bytes) -> bytes:
    payload = struct.pack(">HH", _CONNECTION, method) + arguments
    return struct.pack(">BHI", _FRAME_METHOD, 0, len(payload)) + payload + _FRAME_END


def _short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text
