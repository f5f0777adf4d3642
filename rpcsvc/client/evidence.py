"""What a client knows of the servers behind its queue, and what follows: may a call be sent, and is there nobody.

    a reply, a consumer ----------------------------> seen: calls are sent for a second, then somebody looks again
    no consumer, no queue, a message comes back ----> absent since then --patience--> what waits ends with NoServer
    a look is refused ------------------------------> blind: calls are sent all the same; replies and messages that come
                                                      back are all that tells

Everything that looks or hears notes it here; everything that sends, waits or gives up asks here. The clock is given.

A look is a passive declaration of the queue. Its answer has a consumer count, which is not always one: a quorum queue
whose leader cannot be asked within a quarter of a second is reported with no messages and no consumers (RabbitMQ 3.8 to
4.3, `rabbit_quorum_queue:stat`), and the answer does not say what type the queue has. So that answer counts only when
it is the same half a second later.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..deadline import Clock

log = logging.getLogger(__name__)

EVIDENCE_LASTS = 1.0
"""Seconds for which a reply, or a look at the queue, is evidence of a server."""
REMEMBERED = 60.0
"""Seconds for which servers that were there are expected to come back: patience is for these."""
RECONNECTING = 0.15
"""Seconds a queue may be without a consumer before that means anything: a server may be reconnecting."""
CONFIRMED = 0.5
"""Seconds between two looks that find neither messages nor consumers, before that is believed."""
CONTINUOUS = 5.0
"""Seconds between two looks from which on nobody knows what was between them."""
BLIND_FOR = 300.0
"""Seconds after which a look that was refused is tried again: an operator may have given the permission."""
UNKNOWN_WORKERS = 8
"""How many workers a client that may not look assumes."""
_ASK_EVERY, _ASK_AT_LEAST_EVERY = 0.05, 0.25

_NO_QUEUE = "the queue does not exist"
_NO_CONSUMER = "nobody consumes the queue"


class Evidence:
    """What one client knows of the servers behind one queue.

    Attributes:
        absence: what is missing, in words, while nobody is there; None while somebody is, or nothing is known.
        consumers: how many consumers the queue had at the last look that saw one; an assumption before.
        queue_was_gone: whether the queue was seen missing on this connection. What lay in it is lost, also if there is
            one again.
        times_missing: how often it was.

    Args:
        clock: seconds.
        patience: seconds without a server after which calls end, where one was there lately.
        wait_for_server: seconds that any call waits for one.
        appeared: called when somebody is there after nobody was, or for the first time on a connection.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        patience: float,
        wait_for_server: float,
        appeared: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._patience = patience
        self._wait_for_server = max(RECONNECTING, wait_for_server)
        self._appeared = appeared
        self.absence: str | None = None
        self.consumers = 1
        self.queue_was_gone = False
        self._has_counted = False
        self._seen = float("-inf")  # on this connection, while that is evidence
        self._seen_before = float("-inf")
        self._is_there = False
        self._absent_since = 0.0
        self._absence_noted = 0.0
        self._was_there_lately = False
        self._is_doubtful = False
        self._blind_until = float("-inf")
        self._has_warned = False
        self.times_missing = 0
        self._is_assumed = False  # that nobody is absent: unless one shows again at once

    # ---- what happens

    def connected(self) -> None:
        """A new connection: what was seen on the last one says nothing of now."""
        self.lost()
        self.absence, self._is_assumed = None, False
        self.queue_was_gone = self._has_counted = False
        self._blind_until = float("-inf")

    def lost(self) -> None:
        """What was seen is no evidence any more: the queue was deleted, or the connection has ended."""
        self._seen_before = max(self._seen_before, self._seen)
        self._seen = float("-inf")
        self._is_there = False

    def answered(self) -> None:
        """Something came from a server just now."""
        moment = self._clock()
        before, self._seen = self._seen, moment
        if not self._is_there or (moment - before >= EVIDENCE_LASTS and self.is_blind):
            self._appear()

    def observed(self, messages: int, consumers: int, *, has_calls: bool = False) -> None:
        """The answer to a look.

        Args:
            messages: that wait in the queue.
            consumers: how many it has.
            has_calls: calls of ours went to the queue. If it is empty, somebody took them, and may be a server that
                finishes them before it stops; the broker puts back what a dead one held.
        """
        if consumers > 0:
            self.consumers, self._has_counted = consumers, True
            self.answered()
        elif has_calls and messages == 0:
            self.lost()
            self._seen_before = self._clock()
            self.absence = None
        else:
            self._note_absence(_NO_CONSUMER, is_doubtful=messages == 0)

    def missing(self) -> None:
        """There is no such queue: a look says so, or a message came back."""
        self.queue_was_gone = True
        self.times_missing += 1
        self._note_absence(_NO_QUEUE, is_doubtful=False)

    def refused(self, reason: str | None = None) -> None:
        """A look was refused; it is not tried again for a while.

        Args:
            reason: why, if that is to be told.
        """
        self._blind_until = self._clock() + BLIND_FOR
        self.absence = None
        if not self._has_counted:
            self.consumers = UNKNOWN_WORKERS
        if reason is not None and not self._has_warned:
            self._has_warned = True
            log.warning(
                "whether somebody serves the queue cannot be seen (%s): calls are sent all the same,"
                " and one that nobody takes ends with its time-out",
                reason,
            )

    def taken(self) -> None:
        """A message did not come back: it seems that there is a queue, and more is not known."""
        self.absence, self._is_assumed = None, True

    # ---- what follows

    @property
    def is_blind(self) -> bool:
        """Whether looks are refused."""
        return self._clock() < self._blind_until

    @property
    def has_counted(self) -> bool:
        """Whether no look would tell more of the number of workers: `consumers` was seen, or cannot be."""
        return self._has_counted or self.is_blind

    def lets_send(self, within: float = EVIDENCE_LASTS) -> bool:
        """Whether a call may be sent without another look: a server was there in the last `within` seconds.

        Where nobody may look, unless messages come back.
        """
        moment = self._clock()
        return moment - self._seen < within or (moment < self._blind_until and self.absence is None)

    def is_over(self, started: float) -> bool:
        """Whether a call that was made at `started` has waited for a server for long enough."""
        if self.absence is None:
            return False
        moment = self._clock()
        patience = self._patience if self._was_there_lately else 0.0
        if self._is_doubtful:
            patience = max(patience, CONFIRMED)
        waited = moment - max(self._absent_since, started)
        return moment - self._absent_since >= patience and waited >= self._wait_for_server

    @property
    def is_doubtful(self) -> bool:
        """Whether the absence is that of a queue without messages: who took those that it had may be there yet."""
        return self.absence is not None and self._is_doubtful

    def ask_in(self) -> float:
        """Seconds until the next look while nobody is there: short at first, then an eighth of the time it lasts."""
        return min(max(_ASK_EVERY, (self._clock() - self._absent_since) / 8), _ASK_AT_LEAST_EVERY)

    # ---- inside

    def _appear(self) -> None:
        self._is_there = True
        self.absence, self._is_assumed = None, False
        self._appeared()

    def _note_absence(self, what: str, *, is_doubtful: bool) -> None:
        self.lost()
        moment = self._clock()
        if (self.absence is None and not self._is_assumed) or moment - self._absence_noted > CONTINUOUS:
            self._absent_since = moment
            self._was_there_lately = moment - self._seen_before < REMEMBERED
        self.absence, self._absence_noted, self._is_doubtful = what, moment, is_doubtful

    def __repr__(self) -> str:
        known = self.absence or ("somebody is there" if self._is_there else "nothing is known")
        return f"<Evidence: {known}{', no look is allowed' if self.is_blind else ''}>"
