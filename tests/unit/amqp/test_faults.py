"""Why a connection could not be opened: which error, and what it says."""

from __future__ import annotations

import socket
import ssl

import pika.exceptions
import pytest

from rpcsvc.amqp.faults import lost_error, opening_error
from rpcsvc.errors import (
    AccessRefused,
    AuthenticationFailed,
    ConfigurationError,
    ConnectionFailed,
    ConnectionLost,
    MessageTooLarge,
    RpcError,
    TlsFailed,
)
from rpcsvc.settings import BrokerUrl

PLAIN = BrokerUrl.parse("amqp://ann:hunter2@mq/shop")
TLS = BrokerUrl.parse("amqps://ann:hunter2@mq/shop")
EXTERNAL = BrokerUrl.parse("amqps://mq/shop?auth_mechanism=external")


def closed(code: int, text: str) -> BaseException:
    return pika.exceptions.ConnectionClosedByBroker(code, text)


def lost(cause: BaseException | None) -> BaseException:
    error = pika.exceptions.StreamLostError(repr(cause))
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "url", "kind", "sentence"),
    [
        (ConnectionLost("gone"), PLAIN, ConnectionLost, "gone"),
        (ConfigurationError("no"), PLAIN, ConfigurationError, "no"),
        (closed(403, "ACCESS_REFUSED"), PLAIN, AuthenticationFailed, "refuses user 'ann' or the password"),
        (closed(403, "ACCESS_REFUSED"), EXTERNAL, AuthenticationFailed, "no user by our certificate: ACCESS_REFUSED"),
        (closed(530, "not found"), PLAIN, AccessRefused, "no virtual host 'shop' for user 'ann'.*not found"),
        (closed(530, "connection limit reached"), PLAIN, ConnectionFailed, "connection limit reached"),
        (closed(320, "CONNECTION_FORCED"), PLAIN, ConnectionFailed, "closed the connection.*320 CONNECTION_FORCED"),
        (closed(541, "vhost '/' is down"), PLAIN, ConnectionFailed, "closed the connection.*541 vhost"),
        (closed(530, "connection limit (5) is reached"), PLAIN, ConnectionFailed, "530 connection limit"),
        (pika.exceptions.AuthenticationError("PLAIN"), PLAIN, AuthenticationFailed, "logins by PLAIN"),
        (
            pika.exceptions.AuthenticationError("EXTERNAL"),
            EXTERNAL,
            AuthenticationFailed,
            "rabbitmq_auth_mechanism_ssl",
        ),
        (pika.exceptions.IncompatibleProtocolError("x"), PLAIN, ConnectionFailed, "does not speak AMQP"),
        (lost(ConnectionResetError()), PLAIN, ConnectionFailed, "before it was open.*or a port for TLS"),
        (lost(None), TLS, ConnectionFailed, r"before it was open: a broker that stops\?$"),
        (TimeoutError(), PLAIN, ConnectionFailed, "in time"),
        (
            ConnectionRefusedError(111, "refused"),
            PLAIN,
            ConnectionFailed,
            "nothing listens.*is RabbitMQ running.*RPCSVC_URL",
        ),
        (OSError(101, "Network is unreachable"), PLAIN, ConnectionFailed, "is RabbitMQ running there"),
        (socket.gaierror(-2, "Name or service not known"), PLAIN, ConnectionFailed, "no host 'mq' is known"),
        (UnicodeError("label empty or too long"), PLAIN, ConnectionFailed, "no host 'mq' is known"),
        (RuntimeError("odd"), PLAIN, ConnectionFailed, "no connection to .*: odd"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] x"), TLS, TlsFailed, "does not answer in TLS"),
        (ssl.SSLError(1, "[SSL: NEW_TROUBLE] x"), TLS, TlsFailed, "NEW_TROUBLE"),
        (lost(ssl.SSLError(1, "[SSL: TLSV1_ALERT_UNKNOWN_CA]")), TLS, TlsFailed, "does not trust the authority of our"),
        (
            lost(ssl.SSLError(1, "[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED]")),
            TLS,
            TlsFailed,
            "our certificate has expired",
        ),
        (ssl.SSLEOFError(8, "EOF"), TLS, ConnectionFailed, "in the middle of the TLS handshake"),
    ],
)
def test_each_way_to_fail_has_its_type_and_its_sentence(
    error: BaseException, url: BrokerUrl, kind: type[RpcError], sentence: str
) -> None:
    told = opening_error(error, url)

    assert type(told) is kind
    with pytest.raises(kind, match=sentence):
        raise told
    assert "hunter2" not in str(told)


@pytest.mark.parametrize(
    "text",
    [
        "PRECONDITION_FAILED - message size 17000000 is larger than configured max size 16777216",
        "PRECONDITION_FAILED - message size 17000000 is larger than max size 16777216",
    ],
)
def test_a_message_that_is_too_large_is_known_with_both_sizes(text: str) -> None:
    error = lost_error(pika.exceptions.ChannelClosedByBroker(406, text))

    assert isinstance(error, MessageTooLarge)
    assert (error.size, error.limit) == (17_000_000, 16_777_216)


def test_another_precondition_is_no_matter_of_size() -> None:
    error = lost_error(pika.exceptions.ChannelClosedByBroker(406, "PRECONDITION_FAILED - unknown delivery tag 7"))

    assert type(error) is ConnectionLost
