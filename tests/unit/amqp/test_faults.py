"""Which end of a handshake is a refusal."""

from __future__ import annotations

import pytest
from pika import exceptions

from rpcsvc.amqp.faults import opening_error
from rpcsvc.errors import AccessRefused, AuthenticationFailed, ConnectionFailed
from rpcsvc.settings import BrokerUrl

URL = BrokerUrl.parse("amqp://me:s3cr3t@broker.example/there")
GUESSES = [
    exceptions.ProbableAuthenticationError("guessed"),
    exceptions.ProbableAccessDeniedError("guessed"),
    exceptions.IncompatibleProtocolError("guessed"),
]


@pytest.mark.parametrize("guess", GUESSES, ids=lambda guess: type(guess).__name__)
@pytest.mark.parametrize(
    "cause",
    [
        exceptions.StreamLostError("reset"),
        exceptions.ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"),
        exceptions.ConnectionClosedByBroker(541, "INTERNAL_ERROR - vhost '/' is down"),
        exceptions.ConnectionClosedByBroker(530, "NOT_ALLOWED - connection limit (5) is reached"),
    ],
    ids=str,
)
def test_a_connection_that_ended_otherwise_may_be_tried_again(guess: Exception, cause: Exception) -> None:
    error = opening_error(guess, URL, cause)
    assert type(error) is ConnectionFailed
    assert "broker.example" in str(error)
    assert "s3cr3t" not in str(error)


@pytest.mark.parametrize(
    ("guess", "code", "kind"),
    [
        (exceptions.ProbableAuthenticationError("guessed"), 403, AuthenticationFailed),
        (exceptions.ProbableAccessDeniedError("guessed"), 530, AccessRefused),
    ],
)
def test_what_the_broker_refused_is_not_tried_again(guess: Exception, code: int, kind: type[Exception]) -> None:
    error = opening_error(guess, URL, exceptions.ConnectionClosedByBroker(code, "no"))
    assert type(error) is kind
    assert "s3cr3t" not in str(error)
