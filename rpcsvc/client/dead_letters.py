"""`RpcClient.dead_letters()`: the casts of a queue that were given up, as one looks at them and decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

from ..errors import LetterNotFound
from ..wire.letters import Letter
from .letter_box import LetterBox
from .portal import LinkThread

T = TypeVar("T")


class DeadLetters:
    """The dead letters of one queue; each look asks the broker. Looking changes nothing.

        for letter in client.dead_letters():
            print(letter.letter_id, letter.method, letter.error, letter.attempts)

    Letters that somebody else looks at in the same moment are not seen.
    """

    def __init__(self, thread: Callable[[], LinkThread], check: Callable[[str], None], queue: str) -> None:
        self._thread = thread
        self._check_may_wait = check
        self.queue = queue

    def list(self) -> list[Letter]:
        """All letters, as they died; first those of which that is not known, which the broker wrote.

        Raises:
            NoServer: there is no queue for them: no pool ever served this one.
            AccessRefused: the user may not read them.
            ConnectionFailed, ConnectionLost: the broker is not to be reached, or was lost.
            ClientClosed, OutOfPlace: as for a cast.
        """
        return self._run(LetterBox.letters)

    def __iter__(self) -> Iterator[Letter]:
        return iter(self.list())

    def get(self, letter_id: str) -> Letter:
        """One letter.

        Raises:
            LetterNotFound: there is none of that id.
            RpcError: as `list`.
        """
        return _one(self.list(), letter_id, self.queue)

    def requeue(self, letter_id: str) -> None:
        """Put a letter into the queue again that it came from: a new cast, with all its attempts before it.

        It keeps its message_id, body and headers. It may run twice if the connection is lost in the midst.

        Raises:
            LetterNotFound: there is none of that id.
            NoServer: the queue that it came from does not exist any more. The letter stays.
            CastRejected, CastUnknown: as for a cast. The letter stays.
            RpcError: as `list`.
        """
        self._run(lambda box: box.requeue(letter_id))

    def requeue_all(self) -> int:
        """Put all letters into their queues again that are there now; how many.

        Raises:
            RpcError: as `requeue`, of the first one that stays; the others are requeued.
        """
        return self._run(LetterBox.requeue_all)

    def drop(self, letter_id: str) -> None:
        """Throw a letter away.

        Raises:
            LetterNotFound: there is none of that id.
            RpcError: as `list`.
        """
        self._run(lambda box: box.drop(letter_id))

    def drop_all(self) -> int:
        """Throw all letters away; how many.

        Raises:
            RpcError: as `list`.
        """
        return self._run(LetterBox.drop_all)

    def _run(self, errand: Callable[[LetterBox], Coroutine[Any, Any, T]]) -> T:
        self._check_may_wait("dead_letters()")
        thread = self._thread()  # asked for now: a forked child has another one
        box, results = thread.link.letter_box(self.queue), []

        async def run() -> None:
            results.append(await errand(box))

        thread.run(run)
        return results[0]

    def __repr__(self) -> str:
        return f"<DeadLetters of {self.queue!r}>"


class AsyncDeadLetters:
    """The same, awaited: `async for letter in client.dead_letters()`."""

    def __init__(self, box: LetterBox, queue: str) -> None:
        self._box = box
        self.queue = queue

    async def list(self) -> list[Letter]:
        """All letters; see `DeadLetters.list`."""
        return await self._box.letters()

    async def __aiter__(self) -> AsyncIterator[Letter]:
        for letter in await self.list():
            yield letter

    async def get(self, letter_id: str) -> Letter:
        """One letter; see `DeadLetters.get`."""
        return _one(await self.list(), letter_id, self.queue)

    async def requeue(self, letter_id: str) -> None:
        """Put a letter into its queue again; see `DeadLetters.requeue`."""
        await self._box.requeue(letter_id)

    async def requeue_all(self) -> int:
        """Put all letters into their queues again; see `DeadLetters.requeue_all`."""
        return await self._box.requeue_all()

    async def drop(self, letter_id: str) -> None:
        """Throw a letter away; see `DeadLetters.drop`."""
        await self._box.drop(letter_id)

    async def drop_all(self) -> int:
        """Throw all letters away; see `DeadLetters.drop_all`."""
        return await self._box.drop_all()

    def __repr__(self) -> str:
        return f"<AsyncDeadLetters of {self.queue!r}>"


def _one(letters: list[Letter], letter_id: str, queue: str) -> Letter:
    for letter in letters:
        if letter.letter_id == letter_id:
            return letter
    raise LetterNotFound(letter_id, queue)
