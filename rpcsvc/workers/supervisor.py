"""The life of a worker, as one table. Pure.

    fork server, socket, timer, watchdog, pool ── event ──> Supervisor (TABLE) ── order ──> who carries it out

All that affects a worker's state stands in TABLE, and `Supervisor` alone writes it. What a state has no line for has no
effect there: the fork server, a socket and a timer tell of one death in any order, and of some things late.

How many workers there are to be is decided in `generations`, which carries out what one death means for the others.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .work import MemoryUse, WorkerExit


class State(enum.StrEnum):
    """Where a worker is in its life."""

    SPAWNING = enum.auto()  # the fork server has been asked to make it
    UNTOLD = enum.auto()  # it says that it can compute; the fork server has not told yet that it has made it
    STARTING = enum.auto()  # it is made, and has not said yet that it can compute
    STANDBY = enum.auto()  # it is ready; its generation does not serve yet
    IDLE = enum.auto()  # it has nothing to do
    BUSY = enum.auto()  # it has messages that it has not answered
    FINISHING = enum.auto()  # it is given no more, and ends when it has answered what it has
    ENDING = enum.auto()  # its socket is closed from here; it ends by itself
    KILLED = enum.auto()  # it is being killed; what it has written is still read
    CUT = enum.auto()  # its socket is closed and it is being killed
    EXITED = (
        enum.auto()
    )  # it has ended; what it has written is still read, also where a child of it holds the socket open
    GONE = enum.auto()  # it has ended, and all is read that it has written


class Event(enum.StrEnum):
    """What happens to a worker."""

    MADE = enum.auto()  # the fork server has made it, and has told its pid
    UNBORN = enum.auto()  # it could not be made
    READY = enum.auto()  # it says that it can compute
    SERVES = enum.auto()  # its generation is the one that serves
    GIVEN = enum.auto()  # it had nothing to do, and was given a message
    ANSWERED = enum.auto()  # it has answered all that it was given
    RETIRED = enum.auto()  # it is to be given no more
    CONDEMNED = enum.auto()  # it is to be killed
    DISCONNECTED = enum.auto()  # its socket is closed
    LATE = enum.auto()  # it has been in its state for longer than it may
    EXITED = enum.auto()  # the fork server tells how it ended
    ORPHANED = enum.auto()  # its fork server has gone, and it with it


class Order(enum.StrEnum):
    """What is to be done about a worker."""

    COUNT_IN = enum.auto()  # one more is ready: see whether its generation is complete
    OFFER = enum.auto()  # it may be given a message
    WITHDRAW = enum.auto()  # it may not any more
    CLOSE = enum.auto()  # close its socket
    KILL = enum.auto()  # have the fork server kill it
    DESTROY = enum.auto()  # the fork server does not do what it is told: kill that, and its workers with it
    FORGET = enum.auto()  # it never was; make another one when there is room
    BURY = enum.auto()  # it has ended as it was asked to: end what it had, see whether another one is wanted
    LOSE = enum.auto()  # likewise, but it has ended unasked: count it


S, E, O = State, Event, Order  # noqa: E741 a table is to be seen at one glance
TABLE: dict[tuple[State, Event], tuple[State, tuple[Order, ...]]] = {
    (S.SPAWNING, E.MADE): (S.STARTING, ()),
    (S.SPAWNING, E.READY): (S.UNTOLD, ()),
    (S.SPAWNING, E.UNBORN): (S.GONE, (O.CLOSE, O.FORGET)),
    (S.SPAWNING, E.RETIRED): (S.ENDING, (O.CLOSE,)),
    (S.SPAWNING, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.SPAWNING, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.SPAWNING, E.LATE): (S.SPAWNING, (O.DESTROY,)),
    (S.SPAWNING, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.UNTOLD, E.MADE): (S.STANDBY, (O.COUNT_IN,)),
    (S.UNTOLD, E.RETIRED): (S.ENDING, (O.CLOSE,)),
    (S.UNTOLD, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.UNTOLD, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.UNTOLD, E.LATE): (S.UNTOLD, (O.DESTROY,)),
    (S.UNTOLD, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.STARTING, E.READY): (S.STANDBY, (O.COUNT_IN,)),
    (S.STARTING, E.RETIRED): (S.ENDING, (O.CLOSE,)),
    (S.STARTING, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.STARTING, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.STARTING, E.LATE): (S.KILLED, (O.KILL,)),
    (S.STARTING, E.EXITED): (S.EXITED, ()),
    (S.STARTING, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.STANDBY, E.SERVES): (S.IDLE, (O.OFFER,)),
    (S.STANDBY, E.RETIRED): (S.ENDING, (O.CLOSE,)),
    (S.STANDBY, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.STANDBY, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.STANDBY, E.EXITED): (S.EXITED, ()),
    (S.STANDBY, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.IDLE, E.GIVEN): (S.BUSY, ()),
    (S.IDLE, E.RETIRED): (S.ENDING, (O.WITHDRAW, O.CLOSE)),
    (S.IDLE, E.CONDEMNED): (S.KILLED, (O.WITHDRAW, O.KILL)),
    (S.IDLE, E.DISCONNECTED): (S.CUT, (O.WITHDRAW, O.KILL)),
    (S.IDLE, E.EXITED): (S.EXITED, (O.WITHDRAW,)),
    (S.IDLE, E.ORPHANED): (S.GONE, (O.WITHDRAW, O.CLOSE)),
    (S.BUSY, E.ANSWERED): (S.IDLE, (O.OFFER,)),
    (S.BUSY, E.RETIRED): (S.FINISHING, ()),
    (S.BUSY, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.BUSY, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.BUSY, E.EXITED): (S.EXITED, ()),
    (S.BUSY, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.FINISHING, E.ANSWERED): (S.ENDING, (O.CLOSE,)),
    (S.FINISHING, E.CONDEMNED): (S.KILLED, (O.KILL,)),
    (S.FINISHING, E.DISCONNECTED): (S.CUT, (O.KILL,)),
    (S.FINISHING, E.EXITED): (S.EXITED, ()),
    (S.FINISHING, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.ENDING, E.UNBORN): (S.GONE, (O.FORGET,)),
    (S.ENDING, E.LATE): (S.CUT, (O.KILL,)),
    (S.ENDING, E.EXITED): (S.GONE, (O.BURY,)),
    (S.ENDING, E.ORPHANED): (S.GONE, ()),
    (S.KILLED, E.MADE): (S.KILLED, (O.KILL,)),
    (S.KILLED, E.UNBORN): (S.GONE, (O.CLOSE, O.FORGET)),
    (S.KILLED, E.DISCONNECTED): (S.CUT, ()),
    (S.KILLED, E.LATE): (S.KILLED, (O.DESTROY,)),
    (S.KILLED, E.EXITED): (S.EXITED, ()),
    (S.KILLED, E.ORPHANED): (S.GONE, (O.CLOSE,)),
    (S.CUT, E.MADE): (S.CUT, (O.KILL,)),
    (S.CUT, E.UNBORN): (S.GONE, (O.FORGET,)),
    (S.CUT, E.LATE): (S.CUT, (O.DESTROY,)),
    (S.CUT, E.EXITED): (S.GONE, (O.LOSE,)),
    (S.CUT, E.ORPHANED): (S.GONE, ()),
    (S.EXITED, E.LATE): (S.EXITED, (O.CLOSE,)),
    (S.EXITED, E.DISCONNECTED): (S.GONE, (O.LOSE,)),
    (S.EXITED, E.ORPHANED): (S.GONE, (O.CLOSE,)),
}

OBEYED_WITHIN, ENDS_WITHIN, LAST_WORDS = 10.0, 5.0, 0.25
"""Seconds: in which a fork server does what it is told, or a worker's `start_timeout` if that is less; in which a
worker ends that was let go; and for which the socket of one that has ended is read."""


class Cause(enum.Enum):
    """Why the pool kills a worker."""

    TIME = "its call ran longer than its time limit"
    MEMORY = "its call took more memory than its limit"
    CANCEL = "its call was cancelled and did not end"
    START = "it did not become ready in time"
    END = "it did not end when it had nothing to do any more"
    DEAF = "it did not take what it was given"
    BROKEN = "what came through its socket was not the answer that was next"

    @property
    def is_a_loss(self) -> bool:
        """Whether the worker is to blame, so that it counts as one that ended unasked."""
        return self in (Cause.START, Cause.BROKEN)


@dataclass(frozen=True, slots=True)
class Kill:
    """The pool has had a worker killed.

    Attributes:
        cause: why.
        message: the number of the message it is about, 0 if about none. The worker may have come further by the time
            it is killed.
        memory: what it had taken, where that is the cause.
        others: the numbers of further messages that it is about likewise.
    """

    cause: Cause
    message: int = 0
    memory: MemoryUse | None = None
    others: frozenset[int] = frozenset()

    @property
    def messages(self) -> frozenset[int]:
        """All that it is about."""
        return self.others | {self.message}


class Life:
    """One worker, as far as the supervisor knows it.

    Attributes:
        generation: what it is of.
        number: its place in that.
        state: where it is in its life; written by the supervisor alone.
        pid: None until the fork server has made it.
        exit: how it ended; None until that is told.
        kill: why it is being killed, or None.
        was_ready: whether it had become ready.
        worn: whether it has made all the calls it is to make, and is to be replaced.
        answered: how many messages it has answered.
        failure: the traceback of what kept it from starting, if it told; else empty.
        lacks: whether that was for want of something that may be there later.
    """

    state = State.SPAWNING
    pid: int | None = None
    exit: WorkerExit | None = None
    kill: Kill | None = None
    was_ready = False
    worn = False
    answered = 0
    failure = ""
    lacks = False

    def __init__(self, generation: Any, number: int) -> None:
        self.generation = generation
        self.number = number

    # Carried out by the process that it is.

    def expect(self, within: float | None) -> None:
        """Call `Supervisor.late` after so many seconds, in place of what was expected until now; None is never."""

    def close(self) -> None:
        """Close its socket."""


W = TypeVar("W", bound=Life)
_LATE = {State.STARTING: Cause.START, State.ENDING: Cause.END}


class Supervisor(Generic[W]):
    """The one writer of workers' states: takes what happens to them, and has done what is to be done about it.

    Args:
        orders: who carries out which order.
        start_timeout: seconds in which a worker that is made must be ready.

    Attributes:
        start_timeout: as above.
        obeyed_within: seconds in which a fork server must do what it is told.
    """

    def __init__(self, orders: Mapping[Order, Callable[[W], None]], start_timeout: float) -> None:
        self.start_timeout = start_timeout
        self.obeyed_within = min(start_timeout, OBEYED_WITHIN)
        waiting = (State.SPAWNING, State.UNTOLD, State.KILLED, State.CUT)
        within = dict.fromkeys(waiting, self.obeyed_within)
        within |= {State.STARTING: start_timeout, State.ENDING: ENDS_WITHIN, State.EXITED: LAST_WORDS}
        # The table, with all that follows looked up: two moves are made for each message.
        self._moves = {
            (state, event): (
                following,
                following is not state and (state in within or following in within),
                within.get(following),
                tuple(orders[order] for order in ordered),
            )
            for (state, event), (following, ordered) in TABLE.items()
        }

    def begins(self, worker: W) -> None:
        """The fork server is about to be asked to make it."""
        worker.expect(self.obeyed_within)

    def happened(self, worker: W, event: Event) -> None:
        """Put a worker into the state that follows, and have carried out what is to be done then."""
        move = self._moves.get((worker.state, event))
        if move is None:
            return
        worker.state, expects, within, orders = move
        if expects:
            worker.expect(within)
        for carry_out in orders:
            carry_out(worker)

    def kill(self, worker: W, kill: Kill) -> None:
        """Have a worker killed, unless it is ending anyway. The first reason is the one that counts."""
        if worker.kill is None and (worker.state, Event.CONDEMNED) in TABLE:
            worker.kill = kill
        self.happened(worker, Event.CONDEMNED)

    def late(self, worker: W) -> None:
        """What was expected of a worker has not happened."""
        if worker.kill is None and worker.state in _LATE:
            worker.kill = Kill(_LATE[worker.state])
        self.happened(worker, Event.LATE)
