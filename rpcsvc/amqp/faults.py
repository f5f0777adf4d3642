"""pika's exceptions and broken sockets, as our typed errors. No sentence holds a password."""

from __future__ import annotations

import errno
import re
import socket
import ssl

import pika.exceptions

from ..errors import (
    AccessRefused,
    AuthenticationFailed,
    ConnectionFailed,
    ConnectionLost,
    MessageTooLarge,
    QueueLocked,
    QueueMismatch,
    QueueNotFound,
    RpcError,
    TlsFailed,
)
from ..settings import BrokerUrl

_SHORT_HERE = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EADDRNOTAVAIL, errno.ENOSPC}
)
"""What the system says when it has no more descriptors, memory or ports: nothing is wrong with the broker."""


def opening_error(error: BaseException, url: BrokerUrl) -> RpcError:
    """Why a connection could not be opened.

    Args:
        error: what ended the stream. Not what pika makes of it: it takes any end in the middle of the handshake for a
            refusal, and it is one only if the broker says so.
        url: the broker's.
    """
    match error:
        case RpcError():
            return error
        case pika.exceptions.ConnectionClosedByBroker():
            return _refused(error.reply_code, error.reply_text, url)
        case pika.exceptions.AuthenticationError():
            mechanism = "EXTERNAL (its plugin rabbitmq_auth_mechanism_ssl)" if url.external else "PLAIN"
            return AuthenticationFailed(f"the broker at {url} does not offer logins by {mechanism}")
        case pika.exceptions.IncompatibleProtocolError():
            return ConnectionFailed(f"what listens at {url} does not speak AMQP 0-9-1")
        case pika.exceptions.StreamLostError() if isinstance(error.__cause__, ssl.SSLError):
            return _tls_error(error.__cause__, url)
        case pika.exceptions.StreamLostError():
            hint = "" if url.tls else ", or a port for TLS, which is amqps://"
            return ConnectionFailed(f"{url} ended the connection before it was open: a broker that stops{hint}?")
        case TimeoutError():
            return ConnectionFailed(f"no AMQP broker answered at {url} in time")
        case ssl.SSLError():
            return _tls_error(error, url)
        case OSError() | UnicodeError():  # which is what Python says of a host that can be no name
            return _unreachable(error, url)
        case _:
            return ConnectionFailed(f"no connection to {url}: {error}")


def _unreachable(error: OSError | UnicodeError, url: BrokerUrl) -> ConnectionFailed:
    nobody = f"no AMQP broker can be reached at {url}"
    match error:
        case ConnectionRefusedError():
            return ConnectionFailed(
                f"{nobody}: nothing listens at that port ({error}); is RabbitMQ running there? If it is elsewhere, say "
                "so by its URL, or by RPCSVC_URL"
            )
        case socket.gaierror() | UnicodeError():
            return ConnectionFailed(f"{nobody}: no host {url.host!r} is known here ({error}); is its name right?")
        case OSError() if error.errno in _SHORT_HERE:
            return ConnectionFailed(f"no connection to {url} for want of something on this machine: {error}")
        case _:
            return ConnectionFailed(f"{nobody}: {error}; is RabbitMQ running there?")


def _refused(code: int, text: str, url: BrokerUrl) -> RpcError:
    """A broker that closed the connection before it was open."""
    match code:
        case 403 if url.external:
            return AuthenticationFailed(f"the broker at {url} knows no user by our certificate: {text}")
        case 403:
            return AuthenticationFailed(f"the broker at {url} refuses user {url.user!r} or the password")
        case 530 if "limit" not in text:  # too many connections is 530 too, but may pass
            return AccessRefused(
                f"the broker at {url} has no virtual host {url.vhost!r} for user {url.user!r}:"
                f" it does not exist, or the user may not enter it ({text})"
            )
        case _:
            return ConnectionFailed(f"the broker at {url} closed the connection before it was open: {code} {text}")


# What OpenSSL says, as a part of it, and what that means.
_TLS_SENTENCES = (
    ("WRONG_VERSION_NUMBER", "it does not answer in TLS; RabbitMQ's port for it is 5671, a plain one needs amqp://"),
    ("certificate has expired", "the broker's certificate has expired"),
    ("certificate is not yet valid", "the broker's certificate is not valid yet; are both clocks right?"),
    ("mismatch, certificate", "the broker's certificate is for another name; server_name_indication=NAME expects NAME"),
    (
        "self-signed certificate",
        "its certificate is of an authority that is not trusted here; cacertfile=FILE names one",
    ),
    ("local issuer", "its certificate is of an authority that is not trusted here; cacertfile=FILE names one"),
    ("ALERT_CERTIFICATE_REQUIRED", "it wants a certificate of ours (certfile=FILE, keyfile=FILE)"),
    ("ALERT_HANDSHAKE_FAILURE", "it wants a certificate of ours (certfile=FILE, keyfile=FILE), or another kind of TLS"),
    ("ALERT_UNKNOWN_CA", "it does not trust the authority of our certificate"),
    ("ALERT_CERTIFICATE_EXPIRED", "our certificate has expired"),
    ("ALERT_BAD_CERTIFICATE", "it refuses our certificate"),
    ("PROTOCOL_VERSION", "it speaks no version of TLS that we do; ours are 1.2 and later"),
)


def _tls_error(error: ssl.SSLError, url: BrokerUrl) -> ConnectionFailed:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return ConnectionFailed(f"{url} ended the connection in the middle of the TLS handshake")
    said = str(error)
    sentence = next((sentence for part, sentence in _TLS_SENTENCES if part in said), None)
    return TlsFailed(f"no TLS connection to {url}: {f'{sentence}: ' if sentence else ''}{said}")


def lost_error(error: BaseException) -> RpcError:
    """Why an open connection or channel went away."""
    match error:
        case RpcError():
            return error
        case pika.exceptions.ChannelClosedByBroker() | pika.exceptions.ConnectionClosedByBroker():
            return _closed_by_broker(error.reply_code, error.reply_text)
        case pika.exceptions.ConnectionClosed() | pika.exceptions.ChannelClosed():
            return ConnectionLost(f"closed: {error.reply_text}")
        case pika.exceptions.AMQPHeartbeatTimeout():
            return ConnectionLost("the broker was silent for longer than the heartbeat allows")
        case pika.exceptions.StreamLostError():
            return ConnectionLost("the connection to the broker broke")
        case _:
            return ConnectionLost(f"the connection to the broker was lost: {error}")


_TOO_LARGE = re.compile(r"message size (\d+) is larger than (?:configured )?max size (\d+)")


def _closed_by_broker(code: int, text: str) -> RpcError:
    match code:
        case 406 if found := _TOO_LARGE.search(text):
            return MessageTooLarge(int(found[1]), int(found[2]))
        case 404:
            return QueueNotFound(text)
        case 406 if "inequivalent arg" in text:
            return QueueMismatch(
                f"a queue of that name exists, declared otherwise: {text}; delete it, or use another --queue"
            )
        case 405:
            return QueueLocked(f"the queue belongs to another connection alone: {text}; use another --queue")
        case 530 if "limit" in text or "channel_max" in text:  # of connections or channels: others may end some
            return ConnectionLost(f"the broker allows no more for now: {text}")
        case 403 | 530:
            return AccessRefused(f"the broker refused access: {text}")
        case _:
            return ConnectionLost(f"the broker closed the channel or connection: {code} {text}")
