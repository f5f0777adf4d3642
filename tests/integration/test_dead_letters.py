"""Dead letters are looked at, requeued and dropped, and none is lost by that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from support.queues_of_casts import CastQueue, cast_queue

from rpcsvc import AsyncRpcClient, CastRejected, Letter, LetterNotFound, NoServer, OutOfPlace, RpcClient
from rpcsvc.amqp.topology import delivers_any_number_of_times_if_told
from rpcsvc.broker import PrivateBroker
from rpcsvc.testing import scaled
from rpcsvc.wire.letters import letter_headers

ERROR = {"code": -32000, "message": "f raised ValueError: no", "data": {"type": "ValueError", "traceback": "Trace…"}}


@pytest.fixture
def casts(broker: PrivateBroker, broker_version: tuple[int, ...], queue: str) -> Iterator[CastQueue]:
    unlimited = delivers_any_number_of_times_if_told(broker_version)
    with cast_queue(broker.url, queue, unlimited=unlimited) as casts:
        yield casts


@pytest.fixture
def client(broker: PrivateBroker, queue: str) -> Iterator[RpcClient]:
    with RpcClient(broker.url, queue=queue, timeout=scaled(20)) as client:
        yield client


def die(casts: CastQueue, *names: str, came_from: str | None = None, **said: Any) -> None:
    """Write letters as a server does."""
    for name in names:
        headers = letter_headers(
            {"tenant": "acme"},
            error=ERROR,
            attempts=5,
            first_published=1_700_000_000_000,
            died=1_700_000_060_000 + int(name[1:]),
            host="here",
            came_from=came_from or casts.name,
        )
        casts.channel.basic_publish(
            "",
            casts.name.replace(".casts", ".dead"),
            b'{"jsonrpc":"2.0","method":"f","params":[1]}',
            pika.BasicProperties(headers=headers, message_id=name, delivery_mode=2, priority=3, type="f", **said),
        )


def ids(letters: list[Letter]) -> list[str]:
    return [letter.letter_id for letter in letters]


def test_a_letter_says_what_became_of_its_cast(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    die(casts, "a1")
    (letter,) = client.dead_letters()
    assert letter == client.dead_letters().get("a1")
    assert (letter.letter_id, letter.message_id, letter.method, letter.attempts) == ("a1", "a1", "f", 5)
    assert (letter.error, letter.error_type, letter.traceback) == ("f raised ValueError: no", "ValueError", "Trace…")
    assert (letter.first_published, letter.died, letter.host) == (1_700_000_000_000, 1_700_000_060_001, "here")
    assert (letter.body, letter.came_from) == (b'{"jsonrpc":"2.0","method":"f","params":[1]}', casts.name)
    assert letter.headers == {"tenant": "acme"}


def test_many_looks_lose_nothing_and_change_nothing(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    names = [f"m{number}" for number in range(100)]
    die(casts, *names)
    letters = client.dead_letters()
    for _ in range(30):
        assert ids(letters.list()) == names


def test_a_letter_is_requeued_to_where_it_came_from_as_a_new_cast(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    die(casts, "a1", "a2", "a3")
    client.dead_letters().requeue("a2")
    ((said, request),) = casts.take()
    assert (said.message_id, said.priority, said.type, said.delivery_mode) == ("a2", 3, "f", 2)
    assert request == {"jsonrpc": "2.0", "method": "f", "params": [1]}
    assert said.headers["tenant"] == "acme"
    assert "rpcsvc-attempts" not in said.headers
    assert said.headers["rpcsvc-first-published"] == 1_700_000_000_000
    assert not {name for name in said.headers if name in {"rpcsvc-error", "rpcsvc-died", "rpcsvc-host"}}
    assert ids(client.dead_letters().list()) == ["a1", "a3"]


def test_all_letters_are_requeued_once(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    names = [f"m{number}" for number in range(450)]
    for _ in range(5):
        die(casts, *names)
        assert client.dead_letters().requeue_all() == 450
        assert client.dead_letters().list() == [], "they are not there as well"
        assert casts.length == 450
        casts.channel.queue_purge(casts.name)
    assert client.dead_letters().requeue_all() == 0


def test_a_letter_that_cannot_be_requeued_stays(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    die(casts, "a1", came_from="a-queue-that-is-gone")
    die(casts, "a2")
    with pytest.raises(NoServer, match="a-queue-that-is-gone"):
        client.dead_letters().requeue("a1")
    with pytest.raises(NoServer) as caught:
        client.dead_letters().requeue_all()
    assert caught.value.__notes__ == ["1 letters were requeued, and 1 were not"]
    assert ids(client.dead_letters().list()) == ["a1"]
    casts.take()


def test_a_letter_is_requeued_to_a_full_queue_in_vain(
    broker: PrivateBroker, client: RpcClient, casts: CastQueue, queue: str
) -> None:
    casts.channel.confirm_delivery()
    casts.channel.queue_declare("full-" + queue, arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    die(casts, "a1", came_from="full-" + queue)
    with pytest.raises(CastRejected):
        client.dead_letters().requeue("a1")
    assert ids(client.dead_letters().list()) == ["a1"]
    casts.channel.queue_delete("full-" + queue)


def test_letters_are_dropped(client: RpcClient, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    die(casts, "a1", "a2", "a3")
    client.dead_letters().drop("a2")
    assert ids(client.dead_letters().list()) == ["a1", "a3"]
    assert client.dead_letters().drop_all() == 2
    assert client.dead_letters().list() == []


def test_letters_that_the_broker_wrote_are_shown_and_requeued(client: RpcClient, casts: CastQueue) -> None:
    client.cast("f", message_id="late", expires=0.01)
    dead = CastQueue(casts.channel, casts.name.removesuffix(".casts"))
    dead.name = dead.name.replace(".casts", ".dead")
    while not dead.length:
        casts.channel.connection.sleep(0.01)
    (letter,) = client.dead_letters()
    assert (letter.letter_id, letter.error_type, letter.came_from) == ("late", "expired", casts.name)
    client.dead_letters().requeue("late")
    ((said, _),) = casts.take()
    assert said.expiration is None
    assert not any(name.startswith("x-death") for name in said.headers or {})


def test_what_is_not_there_is_said(client: RpcClient, casts: CastQueue, queue: str) -> None:
    for ask in (client.dead_letters().get, client.dead_letters().requeue, client.dead_letters().drop):
        with pytest.raises(LetterNotFound) as caught:
            ask("nobody")
        assert (caught.value.letter_id, caught.value.queue) == ("nobody", queue)
    for ask_all in (lambda: client.dead_letters("nowhere").list(), lambda: client.dead_letters("nowhere").drop_all()):
        with pytest.raises(NoServer, match=r"no queue for dead letters, 'nowhere\.dead'"):
            ask_all()


def test_a_done_callback_cannot_wait_for_letters(client: RpcClient, casts: CastQueue) -> None:
    raised: list[BaseException] = []
    done = threading.Event()

    def look(_: object) -> None:
        try:
            client.dead_letters().list()
        except BaseException as error:
            raised.append(error)
        done.set()

    client.submit("f", timeout=0.1).add_done_callback(look)
    assert done.wait(scaled(10))
    assert isinstance(raised[0], OutOfPlace)


def test_they_are_awaited_in_asyncio(broker: PrivateBroker, queue: str, casts: CastQueue) -> None:
    casts.channel.confirm_delivery()
    die(casts, "a1", "a2", "a3", "a4", "a5")

    async def run() -> list[str]:
        async with AsyncRpcClient(broker.url, queue=queue) as client:
            letters = client.dead_letters()
            await letters.requeue("a1")
            await letters.drop("a2")
            assert (await letters.get("a3")).attempts == 5
            seen = [letter.letter_id async for letter in letters]
            assert await letters.requeue_all() == 3
            assert await letters.drop_all() == 0
            with pytest.raises(LetterNotFound):
                await letters.get("a3")
            return seen

    assert asyncio.run(run()) == ["a3", "a4", "a5"]
    assert [said.message_id for said, _ in casts.take(4)] == ["a1", "a3", "a4", "a5"]
