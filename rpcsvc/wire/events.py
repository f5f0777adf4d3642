"""Events on the wire: topics and their patterns, bodies by their content type, and what a subscriber is given. Pure.

An event is a message on a topic exchange, `rpcsvc.topics` unless another is named; its topic is the routing key, words
with dots between. A pattern is a topic in which `*` stands for one word and `#` for any number of them, none included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from ..errors import ConfigurationError, DecodingError, EncodingError
from . import values
from .casts import History, as_word, kept_headers
from .names import CONTENT_TYPE, DELAY, DUE, EVENTS, LIFE, ON, SUBSCRIPTION, TOPIC, TOPICS

TEXT, BYTES = "text/plain", "application/octet-stream"
MOST_BYTES = 255
"""Of a topic or a pattern: AMQP 0-9-1 sends it as a short string (section 4.2.5.3)."""
MOST_HASHES = 2
"""`#` in one pattern: what RabbitMQ allows from 4.3.5 on. More of them take its exchanges very long to match."""
MOST_NAME = 100
"""Bytes of the name of a subscription or a handler, encoded."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WILD = ("*", "#")


# ---- bodies


def encode_body(body: object) -> tuple[bytes, str]:
    """The body of an event, and its content type: text as it is, bytes as they are, all else as JSON values.

    Raises:
        EncodingError: it cannot travel exactly.
    """
    if type(body) is str:
        try:
            return body.encode(), TEXT
        except UnicodeEncodeError as error:
            raise EncodingError(f"the text of an event has {body[error.start]!r}, which UTF-8 cannot carry") from None
    if type(body) is bytes:
        return body, BYTES
    return values.encode(body), CONTENT_TYPE


def decode_body(body: bytes, content_type: str | None) -> Any:
    """The body of an event, as its content type says; without one it is text if it is UTF-8.

    What is not what it says it is, or says what is not known here, is bytes: nobody is to be stopped by what others
    publish.
    """
    if content_type == CONTENT_TYPE:
        kind, charset = CONTENT_TYPE, "utf-8"
    elif content_type:
        kind, charset = _parsed(content_type)
    else:
        kind, charset = TEXT, "utf-8"
    try:
        if kind == CONTENT_TYPE or kind.endswith("+json"):
            return values.decode(body)
        return body.decode(charset) if kind.startswith("text/") else body
    except (DecodingError, ValueError, LookupError):  # UnicodeDecodeError is a ValueError, and so is a NUL in a charset
        return body


def _parsed(content_type: str) -> tuple[str, str]:
    """The type without its parameters, and the charset among these."""
    kind, *parameters = (part.strip() for part in content_type.split(";"))
    named = dict(parameter.lower().partition("=")[::2] for parameter in parameters)
    return kind.lower(), named.get("charset", "utf-8").strip('"')


# ---- topics and patterns


def check_topic(topic: object, *, foreign: bool = False) -> str:
    """The topic of an event that is to be published.

    Args:
        topic: what was given.
        foreign: whether it is for the exchange of others, whose routing keys may be any.

    Raises:
        ConfigurationError: it is none.
    """
    text = _short("a topic", topic, "order.paid")
    if foreign:
        return text
    words = _words("a topic", text)
    if any(word in _WILD for word in words):
        raise ConfigurationError(
            f"the topic {text!r} has a wildcard, which patterns have: an event has one topic, for instance 'order.paid'"
        )
    if text.startswith(LIFE):
        raise ConfigurationError(
            f"the topic {text!r} begins with {LIFE!r}, which is for what servers tell of themselves; choose another"
        )
    return text


def check_pattern(pattern: object, *, foreign: bool = False) -> str:
    """The pattern of the topics that are to be heard.

    Args:
        pattern: what was given.
        foreign: whether it is for the exchange of others, whose routing keys may be any.

    Raises:
        ConfigurationError: it is none.
    """
    text = _short("a pattern", pattern, "order.*")
    words = text.split(".") if foreign else _words("a pattern", text)
    if words.count("#") > MOST_HASHES:
        raise ConfigurationError(
            f"the pattern {text!r} has {words.count('#')} '#', and RabbitMQ takes {MOST_HASHES} (from 4.3.5 on); "
            "use '*' where one word stands"
        )
    for word in () if foreign else words:
        if word not in _WILD and any(wild in word for wild in _WILD):
            raise ConfigurationError(
                f"the pattern {text!r} has {word!r}: '*' and '#' stand for whole words, as in 'order.*' and 'log.#'"
            )
    return text


def _short(what: str, given: object, example: str) -> str:
    if not isinstance(given, str):
        raise ConfigurationError(f"{what} is text, for instance {example!r}, not {type(given).__name__}: {given!r}")
    try:
        length = len(given.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"{what} is text that UTF-8 can carry, and {given!r} is not") from None
    if length > MOST_BYTES:
        raise ConfigurationError(f"{what} has at most {MOST_BYTES} bytes of UTF-8; {given[:20]!r}… has {length}")
    if "\0" in given:
        raise ConfigurationError(f"{what} has no NUL in it (AMQP 0-9-1, section 4.2.5.3): {given!r}")
    return given


def _words(what: str, text: str) -> list[str]:
    words = text.split(".")
    if not all(words):
        raise ConfigurationError(f"{what} is words with dots between, and {text!r} has an empty one")
    return words


# ---- exchanges and queues


def check_exchange(exchange: object, *, written: bool) -> str:
    """The exchange of others that is to be heard, or written to.

    Raises:
        ConfigurationError: it is none, or for the servers alone.
    """
    if exchange == "":
        raise ConfigurationError(
            "the default exchange has no name and no events: what is published there goes to one queue, as calls and "
            "casts do"
        )
    text = _short("the name of an exchange", exchange, "logs")
    if written and text.startswith(LIFE) and text != TOPICS:
        raise ConfigurationError(f"the exchange {text!r} is for servers; leave exchange= out for {TOPICS!r}")
    return text


def exchange_of(pattern: str) -> str:
    """The exchange, of ours, that has the events of a pattern: servers' own life is apart from users' events."""
    return EVENTS if f"{pattern}.".startswith(LIFE) else TOPICS


def subscription_queue(name: object) -> str:
    """The queue of a durable subscription.

    Raises:
        ConfigurationError: it can have no such name.
    """
    return SUBSCRIPTION + _name("subscription", name)


def handler_queue(queue: str, name: str, patterns: Iterable[str], exchange: str) -> str:
    """The queue of a handler of events: another one if its patterns change, and the old one expires.

    Raises:
        ConfigurationError: it can have no such name.
    """
    told = "\0".join((exchange, *sorted(patterns))).encode()
    text = f"{queue}{ON}{_name('handler', name)}.{hashlib.blake2b(told, digest_size=4).hexdigest()}"
    if len(text.encode()) > MOST_BYTES:
        raise ConfigurationError(f"the queue {text[:40]!r}… of a handler has a name of more than {MOST_BYTES} bytes")
    return text


def _name(what: str, name: object) -> str:
    if not isinstance(name, str) or not name:
        raise ConfigurationError(f"the name of a {what} is text, for instance 'billing', not {name!r}")
    text = _short(f"the name of a {what}", name, "billing")
    if len(text.encode()) > MOST_NAME or any(character in text for character in "\r\n"):
        raise ConfigurationError(f"the name of a {what} has at most {MOST_NAME} bytes, and no line ends; not {name!r}")
    return text


def queue_deleted(queue: str) -> str:
    """The topic that says: this served queue was deleted. A name that is too long for it stands as a digest."""
    topic = f"{LIFE}queue.deleted.{as_word(queue)}"
    if len(topic) <= MOST_BYTES:
        return topic
    return f"{LIFE}queue.deleted.{hashlib.blake2b(queue.encode(), digest_size=16).hexdigest()}"


# ---- what a subscriber is given


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        topic: its topic: the routing key.
        time: when it was published, by its publisher's clock, in UTC; None where that does not say.
        body: text, bytes, or the value that was published.
        missed: how many events this subscription dropped between the one before and this, because they were not taken
            in time.
        headers: its publisher's.
        redelivered: whether it may have been given before.
        message_id: one for each event that is published, the same if it is there twice; None where the publisher gave
            none.
    """

    topic: str
    time: datetime | None
    body: Any
    missed: int = 0
    headers: Mapping[str, Any] = field(default_factory=dict)
    redelivered: bool = False
    message_id: str | None = None


def read_event(
    topic: str,
    body: bytes,
    *,
    content_type: str | None,
    headers: Callable[[], Mapping[str, Any]],
    timestamp: int | None,
    message_id: str | None,
    redelivered: bool,
    missed: int = 0,
) -> Event:
    """An event, from the properties of its message. Never raises: what cannot be read is as if it was not there.

    Args:
        headers: gives the headers, or raises DecodingError.
        timestamp: seconds since 1970.
        topic, body, content_type, message_id, redelivered, missed: as they are.
    """
    try:
        given = headers()
    except DecodingError:
        given = {}
    first = History.read(given).first_published
    return Event(
        readable(topic),
        moment(first if first is not None else None if timestamp is None else timestamp * 1000),
        decode_body(body, content_type),
        missed,
        users_headers(given),
        redelivered,
        None if message_id is None else readable(message_id),
    )


def readable(text: str) -> str:
    """Text of a message's properties, in which what is no UTF-8 is replaced (U+FFFD): it could go nowhere."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def users_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers of an event that are its publisher's."""
    return {name: value for name, value in kept_headers(headers).items() if name != TOPIC}


def topic_of(exchange: str, routing_key: str, headers: Mapping[str, Any]) -> str:
    """The topic of an event that came to a handler's queue, from its exchange or once more."""
    told = headers.get(TOPIC)
    # An exchange to which another is bound stands where that other would: what has waited comes from a level, or `DUE`.
    is_once_more = exchange in ("", DUE) or exchange.startswith(DELAY)
    return told if is_once_more and isinstance(told, str) else routing_key


def moment(milliseconds: int | None) -> datetime | None:
    """A point in time, from milliseconds since 1970; None where there is none, or none that a calendar has."""
    try:
        return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None
