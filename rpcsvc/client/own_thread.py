"""Which threads are the clients' own: who waits there for a call waits for himself.

Done callbacks run there, and so may a finalizer (`__del__`, a weak reference's callback), wherever the collector
happens to find work. What would wait raises instead, for every client and not for the thread's alone: two clients whose
callbacks wait for each other would both stand still, and while one waits for another its time-outs and heartbeats do.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OutOfPlace

_own: set[int] = set()


@contextmanager
def entered() -> Iterator[None]:
    """This thread is a client's own, for as long as this lasts."""
    _own.add(get_ident())
    try:
        yield
    finally:
        _own.discard(get_ident())


def forget() -> None:
    """In a forked child none of them is left; one may have forked it, and is an ordinary thread now."""
    _own.clear()


def is_here() -> bool:
    """Whether this thread is a client's own."""
    return get_ident() in _own


def refuse_to_wait(what: str) -> None:
    """Raise, if this thread is a client's own.

    Raises:
        OutOfPlace: it is.
    """
    if get_ident() in _own:
        raise OutOfPlace(
            f"{what} would wait on a client's own thread, on which done callbacks (and finalizers) run, and everything "
            "that the client has to do would wait with it; there, use submit() and add_done_callback(), or hand the "
            "work to a thread of your own"
        )


_GREEN = (("gevent.monkey", "is_module_patched", "threading"), ("eventlet.patcher", "is_monkey_patched", "thread"))


def check_threads_are_real() -> None:
    """Raise, if a thread would be a green one, on which an event loop would never let anybody else go on.

    Raises:
        OutOfPlace: gevent or eventlet has replaced threads.
    """
    for name, question, what in _GREEN:
        patcher = sys.modules.get(name)
        if patcher is not None and getattr(patcher, question)(what):
            library = name.partition(".")[0]
            only = "monkey.patch_all(thread=False)" if library == "gevent" else "monkey_patch(thread=False)"
            raise OutOfPlace(
                f"{library} has replaced threads by green ones in this process, and a client needs a real one for its "
                f"connection; leave threads as they are ({only}), or make the calls from a process that is not patched"
            )
