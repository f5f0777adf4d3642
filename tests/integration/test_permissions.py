"""The users that docs/security.md makes: what they may do is enough, and what they may not do is refused by the broker.

The page's own commands are run, on a virtual host of a real broker.
"""

from __future__ import annotations

import re
import secrets
import shlex
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pika
import pika.exceptions
import pytest
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until
from support.queues_of_casts import CastQueue, cast_queue
from support.strangers import Stranger

from rpcsvc import AccessRefused, RpcClient, RpcError
from rpcsvc.broker import PrivateBroker
from rpcsvc.settings import BrokerUrl
from rpcsvc.testing import scaled

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
VHOST = "compute"
Operation = Callable[[Any, str], object]


def commands() -> list[list[str]]:
    """The page's calls of rabbitmqctl, as words without the program's name."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["rabbitmqctl"]]


class Users:
    """The page's users on a broker.

    Attributes:
        urls: of "pool", "caller", those for events, and "admin" in the virtual host.
    """

    def __init__(self, broker: PrivateBroker) -> None:
        self.broker = broker
        admin = replace(BrokerUrl.parse(broker.url), vhost=VHOST)
        self.urls = {"admin": admin.reveal()}
        for words in commands():
            match words:
                case ["add_user", name]:
                    password = secrets.token_hex()  # none that looks like an option
                    RabbitCtl(broker)(*words, password)
                    self.urls[name] = replace(admin, user=name, password=password).reveal()
                case _:
                    RabbitCtl(broker)(*words)
        self.permit("rpcsvc", ".*", ".*", ".*")

    def permit(self, user: str, configure: str, write: str, read: str) -> None:
        RabbitCtl(self.broker).permit(user, configure, write, read, vhost=VHOST)

    def restore(self, user: str) -> None:
        """What the page says, again."""
        for words in commands():
            if words[0] == "set_permissions" and user in words:
                self.permit(user, *words[-3:])

    def remove(self) -> None:
        RabbitCtl(self.broker).delete_vhost(VHOST)
        for name in self.urls:
            if name != "admin":
                RabbitCtl(self.broker).delete_user(name)


@pytest.fixture(scope="module")
def users(broker: PrivateBroker) -> Iterator[Users]:
    users = Users(broker)
    yield users
    users.remove()


@pytest.fixture(scope="module")
def pool(users: Users) -> Iterator[ServerProcess]:
    """A server that is the user "pool"."""
    with ServerProcess(users.urls["pool"], "--workers", "1") as server:
        yield server
        print(server.output)


def refusal(url: str, operation: Operation, queue: str = "rpc_queue") -> int:
    """The reply code with which the broker refuses an operation on a channel."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        try:
            operation(channel, queue)
            channel.queue_declare("rpc_queue", passive=True)  # a publish is refused a moment later
        except pika.exceptions.ChannelClosedByBroker as error:
            return int(error.reply_code)
        return 200


# ---- what they need, they may


def test_the_page_makes_a_user_for_each_side(users: Users) -> None:
    assert users.urls.keys() == {"admin", "pool", "caller", "operator", "publisher", "subscriber", "billing"}


def test_with_these_permissions_casts_are_served(users: Users, tmp_path: Path) -> None:
    stranger, trace = Stranger(users.urls["admin"], "rpc_queue"), tmp_path / "trace"
    with ServerProcess(users.urls["pool"], "--workers", "2", registry="casting:registry") as server:
        stranger.cast("fail_twice", str(trace), message_id="m")
        wait_until(lambda: trace.exists() and len(trace.read_text().splitlines()) == 3, within=20)
        stranger.cast("nowhere")
        wait_until(lambda: stranger.count("rpc_queue.dead") == 1)
        assert "not wait" not in server.output
        assert len(stranger.letters()) == 1


@pytest.fixture
def cast_queues(users: Users) -> Iterator[CastQueue]:
    """The queues of casts as a pool declares them, and empty."""
    with cast_queue(users.urls["admin"], "rpc_queue") as casts:
        casts.channel.queue_purge(casts.name)
        casts.channel.queue_purge("rpc_queue.dead")
        yield casts
        casts.channel.queue_purge(casts.name)


def test_with_these_permissions_a_caller_casts(users: Users, cast_queues: CastQueue) -> None:
    with RpcClient(users.urls["caller"], timeout=scaled(20)) as client:
        client.cast("f")
        cast_queues.take()
        for level in range(20):
            cast_queues.channel.exchange_delete(f"rpcsvc.delay.{level}")
        with pytest.raises(AccessRefused, match="may not declare them"):
            client.cast("f", delay=1)
        with RpcClient(users.urls["admin"]) as admin:
            admin.cast("f", delay=1)
        client.cast("f", delay=1)
        cast_queues.take(2)
        users.permit("caller", "^amq.gen-.*$", "^(amq.default|amq.gen-.*)$", "^amq.gen-.*$")
        with RpcClient(users.urls["caller"], timeout=scaled(20)) as other:
            with pytest.raises(AccessRefused, match=r"rpcsvc\.delay"):
                other.cast("f", delay=1)
            other.cast("f")
        users.restore("caller")


def test_with_these_permissions_an_operator_looks_after_letters(users: Users, cast_queues: CastQueue) -> None:
    cast_queues.channel.confirm_delivery()
    for name in ("a1", "a2"):
        properties = pika.BasicProperties(message_id=name)
        cast_queues.channel.basic_publish("", "rpc_queue.dead", b"{}", properties)
    with RpcClient(users.urls["operator"], timeout=scaled(20)) as operator:
        letters = operator.dead_letters()
        assert [letter.letter_id for letter in letters] == ["a1", "a2"]
        letters.requeue("a1")
        letters.drop("a2")
        assert letters.drop_all() == 0
    cast_queues.take()
    get: Operation = lambda channel, queue: channel.basic_get(queue)  # noqa: E731
    assert refusal(users.urls["operator"], get, "rpc_queue.casts") == 403
    with RpcClient(users.urls["caller"], timeout=scaled(20)) as caller, pytest.raises(AccessRefused):
        caller.dead_letters().list()


def test_with_these_permissions_calls_are_made_and_answered(users: Users, pool: ServerProcess) -> None:
    with RpcClient(users.urls["caller"], timeout=30) as client:
        assert client.call("fib", 100) == 354224848179261915075
        assert list(client.map("fib", range(10))) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]
        futures = [client.submit("echo", number) for number in range(500)]
        assert [future.result() for future in futures] == list(range(500))


def test_with_these_permissions_a_word_to_all_pools_can_be_sent_and_heard(users: Users, pool: ServerProcess) -> None:
    """The exchange for it belongs to pools, callers write to it."""
    with (
        pika.BlockingConnection(pika.URLParameters(users.urls["pool"])) as hearing,
        pika.BlockingConnection(pika.URLParameters(users.urls["caller"])) as speaking,
    ):
        ear, mouth = hearing.channel(), speaking.channel()
        ear.exchange_declare("rpcsvc.control", "fanout", durable=True)
        queue = ear.queue_declare("", exclusive=True).method.queue
        ear.queue_bind(queue, "rpcsvc.control")
        mouth.confirm_delivery()
        mouth.basic_publish("rpcsvc.control", "", b"stop")
        assert wait_until(lambda: ear.basic_get(queue, auto_ack=True)[2]) == b"stop"


def replies(users: Users, queue: str, callback_queue: str, *, exclusive: bool) -> list[bytes]:
    """What a request brings whose callback queue has that name, when a later one has been answered."""
    with pika.BlockingConnection(pika.URLParameters(users.urls["admin"])) as connection:
        channel = connection.channel()
        channel.queue_declare(callback_queue, exclusive=exclusive, auto_delete=True)
        later = channel.queue_declare("", exclusive=True).method.queue
        for reply_to in (callback_queue, later):
            channel.basic_publish("", queue, b"30", pika.BasicProperties(reply_to=reply_to))
        wait_until(lambda: channel.basic_get(later, auto_ack=True)[2], within=20)
        # Of two requests that are answered, the first is mostly answered first.
        reply = [channel.basic_get(callback_queue, auto_ack=True)[2] for _ in range(3)]
        channel.queue_delete(callback_queue)
    return [body for body in reply if body is not None]


@pytest.mark.parametrize("name", ["amq_{}", "rpc.reply.{}"])
def test_with_these_permissions_a_pool_answers_to_the_exclusive_queues_of_libraries(
    users: Users, pool: ServerProcess, name: str
) -> None:
    """And to no queue of such a name that others may read. The pool has one worker, which keeps the order."""
    assert replies(users, "rpc_queue", name.format(uuid.uuid4()), exclusive=True) == [b"832040"]
    others = name.format(uuid.uuid4())
    assert replies(users, "rpc_queue", others, exclusive=False) == []
    assert f"{others!r}: it is not exclusive" in pool.output


def test_a_pool_that_may_not_look_goes_by_names(users: Users) -> None:
    """RabbitMQ wants a right on a queue for a look from 4.2.6 on; before, everybody may look."""
    pool_may = r"^(amq\.default|rpcsvc\.events|amq\.gen-.*)$"
    users.permit("pool", r"^(bare|rpcsvc\..*|amq\.gen-.*)$", pool_may, r"^(bare|rpcsvc\.control|amq\.gen-.*)$")
    try:
        with ServerProcess(users.urls["pool"], "--workers", "1", "--queue", "bare") as server:
            for name in ("amq_{}", "rpc.reply.{}"):
                assert replies(users, "bare", name.format(uuid.uuid4()), exclusive=True) == [b"832040"]
            named = str(uuid.uuid4())
            if replies(users, "bare", named, exclusive=True) == []:
                assert f"{named!r}: the broker does not let this user look" in server.output
                assert "--callback-queue" in server.output
            else:
                assert "a request was refused" not in server.output
    finally:
        users.restore("pool")


def test_a_pool_that_may_not_declare_its_queue_takes_one_that_is_there(users: Users) -> None:
    everything = r"^(given|rpcsvc\.control|amq\.gen-.*)$"
    users.permit("pool", r"^(rpcsvc\.control|amq\.gen-.*)$", r"^(amq\.default|amq\.gen-.*)$", everything)
    try:
        with ServerProcess(users.urls["pool"], "--workers", "1", "--queue", "given", ready=False) as server:
            assert server.wait(30) == 6
            assert "ACCESS_REFUSED" in server.output
            assert "nor did somebody else declare it" in server.output
        with pika.BlockingConnection(pika.URLParameters(users.urls["admin"])) as connection:
            connection.channel().queue_declare("given", durable=True)
        with (
            ServerProcess(users.urls["pool"], "--workers", "1", "--queue", "given"),
            RpcClient(users.urls["caller"], queue="given", timeout=30) as client,
        ):
            assert client.call("fib", 30) == 832040
    finally:
        users.restore("pool")


# ---- what they do not need, they may not


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda channel, queue: channel.basic_consume(queue, print), id="take calls"),
        pytest.param(lambda channel, queue: channel.basic_get(queue), id="look at calls"),
        pytest.param(lambda channel, queue: channel.queue_purge(queue), id="throw calls away"),
        pytest.param(lambda channel, queue: channel.queue_delete(queue), id="delete the queue"),
        pytest.param(lambda channel, queue: channel.queue_declare(queue, durable=True), id="declare the queue"),
        pytest.param(lambda channel, _: channel.queue_declare("other"), id="declare another queue"),
        pytest.param(lambda channel, _: channel.exchange_declare("rpcsvc.control", "fanout"), id="declare an exchange"),
        pytest.param(lambda channel, _: channel.exchange_delete("rpcsvc.control"), id="delete the exchange"),
        pytest.param(lambda channel, _: channel.basic_publish("amq.fanout", "", b""), id="publish elsewhere"),
    ],
)
def test_a_caller_may_not(users: Users, pool: ServerProcess, operation: Operation) -> None:
    assert refusal(users.urls["caller"], operation) == 403


@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda channel, _: channel.queue_declare("other"), id="declare another queue"),
        pytest.param(lambda channel, _: channel.basic_get("other"), id="read another queue"),
        pytest.param(lambda channel, _: channel.queue_delete("other"), id="delete another queue"),
        pytest.param(lambda channel, _: channel.exchange_declare("other", "fanout"), id="declare another exchange"),
        pytest.param(lambda channel, _: channel.basic_publish("amq.fanout", "", b""), id="publish elsewhere"),
        pytest.param(lambda channel, _: channel.basic_publish("rpcsvc.control", "", b""), id="stop others' calls"),
    ],
)
def test_a_pool_may_not(users: Users, pool: ServerProcess, operation: Operation) -> None:
    with pika.BlockingConnection(pika.URLParameters(users.urls["admin"])) as connection:
        connection.channel().queue_declare("other", auto_delete=True)
    assert refusal(users.urls["pool"], operation) == 403


@pytest.mark.parametrize("who", ["pool", "caller"])
@pytest.mark.parametrize(
    "operation",
    [
        pytest.param(lambda channel, queue: channel.basic_consume(queue, print), id="read it"),
        pytest.param(lambda channel, queue: channel.basic_get(queue), id="look into it"),
        pytest.param(lambda channel, queue: channel.queue_purge(queue), id="empty it"),
        pytest.param(lambda channel, queue: channel.queue_delete(queue), id="delete it"),
    ],
)
def test_anothers_callback_queue_is_locked_even_to_who_knows_its_name(
    users: Users, pool: ServerProcess, who: str, operation: Operation
) -> None:
    with RpcClient(users.urls["caller"]) as client:
        assert client.callback_queue is not None
        assert client.callback_queue.startswith("amq.gen-")
        assert refusal(users.urls[who], operation, client.callback_queue) == 405
        assert client.call("fib", 30) == 832040


def test_whoever_may_call_may_write_to_every_queue_of_the_virtual_host(users: Users, pool: ServerProcess) -> None:
    """What the page warns of: behind the default exchange RabbitMQ has no permission for single queues."""
    with pika.BlockingConnection(pika.URLParameters(users.urls["admin"])) as connection:
        channel = connection.channel()
        channel.queue_declare("not-for-callers", exclusive=True)

        def publish(of_caller: Any, _queue: str) -> None:
            of_caller.basic_publish("", "not-for-callers", b"a surprise")

        assert refusal(users.urls["caller"], publish) == 200
        assert wait_until(lambda: channel.basic_get("not-for-callers")[2]) == b"a surprise"


def test_a_caller_that_binds_the_queue_to_the_events_disturbs_nobody(users: Users, pool: ServerProcess) -> None:
    """The right to look at the queue lets it: what pools tell comes to them as calls that are none."""
    with (
        pika.BlockingConnection(pika.URLParameters(users.urls["caller"])) as of_caller,
        pika.BlockingConnection(pika.URLParameters(users.urls["pool"])) as of_pool,
        RpcClient(users.urls["caller"], timeout=30) as client,
    ):
        assert client.call("fib", 30) == 832040
        of_caller.channel().queue_bind("rpc_queue", "rpcsvc.events", "#")
        try:
            of_pool.channel().basic_publish("rpcsvc.events", "other", b"null", pika.BasicProperties(type="an event"))
            assert [client.call("fib", 30) for _ in range(5)] == [832040] * 5
            assert pool.process.poll() is None
        finally:
            of_caller.channel().queue_unbind("rpc_queue", "rpcsvc.events", "#")


@pytest.mark.parametrize("who", ["pool", "caller"])
def test_neither_may_enter_another_virtual_host(users: Users, who: str) -> None:
    elsewhere = replace(BrokerUrl.parse(users.urls[who]), vhost="/")
    with pytest.raises(AccessRefused, match="virtual host '/'"):
        RpcClient(elsewhere.reveal()).close()


# ---- too little is said, not suffered


@pytest.mark.parametrize("text", ["begun", "begun" * 50_000], ids=["small", "confirmed"])
def test_a_pool_that_may_not_answer_ends_instead_of_computing_again_and_again(
    users: Users, tmp_path: Path, text: str
) -> None:
    users.permit("pool", ".*", "^nothing$", ".*")
    trace, queue = tmp_path / "trace", f"mute-{len(text)}"
    try:
        with (
            ServerProcess(users.urls["pool"], "--workers", "1", "--queue", queue) as server,
            RpcClient(users.urls["caller"], queue=queue, timeout=scaled(1)) as client,
        ):
            future = client.submit("write_then_sleep", str(trace), text, 0.0)
            assert server.wait(30) == 6
            assert "refused access" in server.output
            assert trace.read_text().split() == [text]
            with pytest.raises(RpcError):
                future.result()
    finally:
        users.restore("pool")


@pytest.mark.parametrize("size", [1, 250_000], ids=["small", "confirmed"])
def test_a_caller_that_may_not_publish_is_told(users: Users, pool: ServerProcess, size: int) -> None:
    users.permit("caller", ".*", "^nothing$", ".*")
    try:
        with RpcClient(users.urls["caller"], timeout=30) as client, pytest.raises(RpcError, match="refused access"):
            client.call("sha256", "x" * size)
    finally:
        users.restore("caller")


def test_a_caller_without_the_right_to_cancel_calls_all_the_same(users: Users, pool: ServerProcess) -> None:
    """With the right, a cancelled call frees its worker; without it, calls are made and answered as ever."""
    with RpcClient(users.urls["caller"], timeout=60) as client:
        running = client.submit("sleep", 50)
        wait_until(lambda: client.pending == 1)
        assert running.cancel()
        assert client.call("fib", 30, timeout=20) == 832040
    users.permit("caller", r"^amq\.gen-.*$", r"^amq\.default$", r"^amq\.gen-.*$")
    try:
        with RpcClient(users.urls["caller"], timeout=30) as client:
            client.submit("sleep", 0.5).cancel()
            assert client.call("fib", 30) == 832040
    finally:
        users.restore("caller")


# ---- events


@pytest.fixture(scope="module")
def topics(users: Users) -> None:
    """The exchange of events, which an administrator declares."""
    with pika.BlockingConnection(pika.URLParameters(users.urls["admin"])) as connection:
        channel = connection.channel()
        channel.exchange_declare("rpcsvc.topics", "topic", durable=True)
        channel.queue_declare("rpcsvc.sub.others", durable=True)


def test_with_these_permissions_events_are_published_and_heard(users: Users, pool: ServerProcess, topics: None) -> None:
    with (
        RpcClient(users.urls["publisher"]) as publisher,
        RpcClient(users.urls["subscriber"]) as subscriber,
        RpcClient(users.urls["billing"]) as billing,
        subscriber.subscribe("order.*", "rpcsvc.#") as passing,
        billing.subscribe("order.*", name="billing") as kept,
    ):
        publisher.publish("order.paid", {"id": 7})
        assert passing.get(timeout=scaled(10)).body == {"id": 7}
        assert kept.get(timeout=scaled(10)).body == {"id": 7}
        kept.close()
        billing.unsubscribe("billing")


def test_with_these_permissions_a_pool_handles_events(
    users: Users, pool: ServerProcess, topics: None, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    with (
        ServerProcess(users.urls["pool"], "--workers", "1", registry="handling:registry") as handling,
        RpcClient(users.urls["publisher"]) as publisher,
    ):
        assert "events for note" in handling.output
        publisher.publish("permitted.tried", {"trace": str(trace)})
        wait_until(lambda: trace.exists() and len(trace.read_text().splitlines()) == 3, within=20)


@pytest.mark.parametrize(
    ("who", "operation"),
    [
        pytest.param("publisher", lambda client: client.subscribe("#"), id="hear, who publishes"),
        pytest.param("subscriber", lambda client: client.publish("order.paid", "x"), id="publish, who hears"),
        pytest.param("subscriber", lambda client: client.subscribe("#", name="others"), id="take others' events"),
        pytest.param("subscriber", lambda client: client.unsubscribe("others"), id="end others' subscription"),
        pytest.param("billing", lambda client: client.subscribe(name="others"), id="take others' events, with a name"),
        pytest.param(
            "publisher", lambda client: client.publish("", "x", exchange="amq.fanout"), id="publish elsewhere"
        ),
        pytest.param("subscriber", lambda client: client.subscribe(exchange="amq.fanout"), id="hear elsewhere"),
    ],
)
def test_who_is_for_events_may_not(
    users: Users, pool: ServerProcess, topics: None, who: str, operation: Callable[[RpcClient], object]
) -> None:
    with RpcClient(users.urls[who]) as client, pytest.raises(AccessRefused):
        operation(client)
    assert refusal(users.urls[who], lambda channel, _: channel.basic_publish("rpcsvc.events", "x", b"null")) == 403


def test_topic_permissions_are_told_and_end_nobody_elses_events(users: Users, topics: None) -> None:
    ctl = RabbitCtl(users.broker)
    ctl("set_topic_permissions", "-p", VHOST, "publisher", "rpcsvc.topics", r"^order\.", "^$")
    ctl("set_topic_permissions", "-p", VHOST, "subscriber", "rpcsvc.topics", "^$", r"^order\.")
    try:
        with (
            RpcClient(users.urls["publisher"]) as publisher,
            RpcClient(users.urls["subscriber"]) as subscriber,
            subscriber.subscribe("order.*") as events,
        ):
            with pytest.raises(AccessRefused):
                subscriber.subscribe("#")
            publisher.publish("order.paid", 1)
            with pytest.raises(AccessRefused):
                publisher.publish("salary.paid", 2)
            publisher.publish("order.paid", 3)
            assert [events.get(timeout=scaled(10)).body for _ in range(2)] == [1, 3]
    finally:
        for user in ("publisher", "subscriber"):
            ctl("clear_topic_permissions", "-p", VHOST, user)
