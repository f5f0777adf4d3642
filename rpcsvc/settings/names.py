"""The names that users give: of queues, methods, registries. Each check says what was given and what to give instead.

Every side checks a queue's name with `check_queue`, so that nobody serves, or calls, what the other side cannot name.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

from ..errors import ConfigurationError, EncodingError
from ..wire.names import BROKERS_OWN, DEFAULT_QUEUE

MOST_BYTES = 255
"""The longest name of a queue, in bytes of UTF-8: AMQP 0-9-1 sends it as a short string (section 4.2.5.3)."""
_NEVER = {"\0": "a NUL", "\r": "a carriage return", "\n": "a line feed"}
"""Short strings hold no NUL (AMQP 0-9-1, section 4.2.5.3). RabbitMQ takes line ends out of a name that is declared."""


def check_queue(queue: object, *, declared: bool) -> str:
    """The name of a queue, if it can be one.

    Args:
        queue: what was given.
        declared: whether it is to be declared, as a server does; then it may not be one of the broker's own names.

    Raises:
        ConfigurationError: it cannot be the name of a queue that is served.
    """
    if not isinstance(queue, str):
        raise ConfigurationError(f"a queue's name is text, not {type(queue).__name__}: {queue!r}")
    if not queue:
        raise ConfigurationError(
            "the queue's name is empty, and nobody could call a queue without one; "
            f"give it 1 to 255 bytes, or leave it out for {DEFAULT_QUEUE!r}"
        )
    try:
        length = len(queue.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(
            f"the queue's name {queue!r} is not text that UTF-8 can carry; choose another"
        ) from None
    if length > MOST_BYTES:
        raise ConfigurationError(
            f"the queue's name {queue[:20]!r}… has {length} bytes of UTF-8; AMQP has at most {MOST_BYTES}: shorten it"
        )
    for character, what in _NEVER.items():
        if character in queue:
            raise ConfigurationError(f"the queue's name {queue!r} has {what} in it, which AMQP forbids; leave it out")
    if declared and queue.startswith(BROKERS_OWN):
        raise ConfigurationError(
            f"the queue's name {queue!r} begins with {BROKERS_OWN!r}, which is for the broker's own; choose another"
        )
    return queue


def check_patterns(option: str, patterns: object) -> tuple[str, ...]:
    """The patterns of names of queues that an option lists.

    Raises:
        ConfigurationError: it is no list of texts; or one is empty, and no name matches that.
    """
    if isinstance(patterns, str | bytes) or not isinstance(patterns, Iterable):
        raise ConfigurationError(f"{option} is a list of patterns, for instance ['replies.*'], not {patterns!r}")
    listed = tuple(patterns)
    for pattern in listed:
        if not isinstance(pattern, str) or not pattern:
            raise ConfigurationError(
                f"{option} lists patterns of names, for instance 'replies.*', and {pattern!r} is none"
            )
    return listed


def check_method(method: object) -> str:
    """The name of a method, if it can be one.

    Raises:
        EncodingError: it cannot be sent as one.
    """
    if isinstance(method, str):
        wrong = _not_a_method(method)
        if wrong is None:
            return method
        raise EncodingError(f"{wrong}; a method's name is text of 1 to {MOST_BYTES} bytes, for instance 'fib'")
    name = getattr(method, "__name__", None)
    if callable(method) and isinstance(name, str):
        raise EncodingError(
            f"a method is given by the name that the server has for it, as text: {name!r}, not {method!r}; "
            "what runs is the server's function, not this one"
        )
    raise EncodingError(
        f"a method is given by its name, as text, not by a {type(method).__name__}: {reprlib.repr(method)}"
    )


def _not_a_method(method: str) -> str | None:
    if not method:
        return "the method's name is empty"
    try:
        length = len(method.encode())
    except UnicodeEncodeError:
        return f"the method's name {reprlib.repr(method)} is not text that UTF-8 can carry"
    if length > MOST_BYTES:
        return f"the method's name {method[:20]!r}… has {length} bytes of UTF-8"
    return None


def check_registry(target: object) -> str:
    """The name of a registry, if it is written MODULE:NAME. Whether there is one is for the import to say.

    Raises:
        ConfigurationError: it is not; the sentence says how what was probably meant is written.
    """
    if not isinstance(target, str):
        raise ConfigurationError(
            "the registry is given as 'MODULE:NAME', because worker processes import it by that name; "
            f"not as a {type(target).__name__}"
        )
    module, colon, name = target.partition(":")
    if _is_path(module):
        meant = _module_of(module)
        raise ConfigurationError(
            f"{target!r} names a file; a registry is given as MODULE:NAME, as `import` would find the module, "
            f"from its folder: {meant}:{name or 'registry'}"
        )
    if not colon or not name:
        raise ConfigurationError(
            f"{target!r} does not say which registry of the module; it is given as MODULE:NAME, "
            f"for instance {module or 'mymodule'}:registry"
        )
    if not all(part.isidentifier() for part in [*module.split("."), *name.split(".")]):
        raise ConfigurationError(
            f"{target!r} is no MODULE:NAME, for instance mymodule:registry or shop.prices:registry"
        )
    return target


def _is_path(module: str) -> bool:
    return module.endswith((".py", ".pyc")) or "/" in module or "\\" in module


def _module_of(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2].removesuffix(".pyc").removesuffix(".py") or "mymodule"
