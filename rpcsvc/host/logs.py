"""What goes into the log of a server, and how often: text of others on one line, and an outage in a few lines."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from ..deadline import Clock
from ..errors import RemoteError

log = logging.getLogger(__name__)

_MOST = 300
"""Characters of somebody else's text that are shown."""
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 300.0
"""Seconds from one line about an outage that goes on to the next: each pause is twice the one before."""


def one_line(text: str, most: int | None = _MOST) -> str:
    """Somebody else's text, so that it can neither begin a line of its own nor speak to a terminal.

    Args:
        text: the text.
        most: characters of it that are shown; None are all.
    """
    shown = text if most is None or len(text) <= most else text[:most] + "…"
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)


_seconds: Callable[[], float] | None = None
failures: list[str] = []
"""What `tell_failed` was told of since somebody has emptied this: the first one. An answer that is one, or has one in
it, is marked for the server, which need not look into answers for that."""


def use_seconds(seconds: Callable[[], float]) -> None:
    """Have calls that fail in this process told with how long they took.

    Args:
        seconds: since the process began with its message. Only a call that failed asks for it.
    """
    global _seconds  # noqa: PLW0603 as logging itself: set up once for a process, and not handed through each call
    _seconds = seconds


def note_failures(note: Callable[[], None]) -> None:
    """Have calls that fail noted elsewhere than in `failures`, which is one for all threads."""
    global _note  # noqa: PLW0603 likewise
    _note = note


_note: Callable[[], None] | None = None


def tell_failed(what: str, error: RemoteError) -> None:
    """Tell of a call that failed in a worker. Whatever a program has made of its logging, this raises nothing."""
    if _note is not None:
        _note()
    elif not failures:
        failures.append(what)
    with contextlib.suppress(Exception):
        took = "" if _seconds is None else f" (after {_seconds():.3g} s)"
        log.info("%s failed: %s%s", one_line(what), one_line(str(error)), took)


class Outage:
    """What to say of something that is tried again and again: the first failure, then ever fewer, then the end.

    `clock` gives seconds and never goes back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None
        self._pause = _FIRST_PAUSE
        self._next = 0.0

    def begins(self) -> None:
        """The outage begins: what was there has gone. The first failure to get it again is said at once."""
        self._since = self._next = self._clock()
        self._pause = _FIRST_PAUSE

    def fails(self) -> bool:
        """The outage goes on: it has failed once more; whether to say so."""
        if self._since is None:
            self.begins()
        now = self._clock()
        if now < self._next:
            return False
        self._next = now + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        return True

    def ends(self) -> float | None:
        """The outage ends, what was missing is there again; after how many seconds, or None if it was not away."""
        since, self._since = self._since, None
        return None if since is None else self._clock() - since
