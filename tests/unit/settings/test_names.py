"""Names of queues, methods and registries: what is refused, and what the sentence says to give instead."""

from __future__ import annotations

import pytest

from rpcsvc import AsyncRpcClient, RpcClient, RpcServer
from rpcsvc.errors import ConfigurationError, EncodingError
from rpcsvc.settings.names import check_method, check_patterns, check_queue, check_registry


@pytest.mark.parametrize("queue", ["q", "rpc_queue", "prices.eu-1", "größe", "q" * 255, "a b", "ü" * 127, "amqp"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_queue_may_be_named_so(queue: str, declared: bool) -> None:
    assert check_queue(queue, declared=declared) == queue


@pytest.mark.parametrize(
    ("queue", "sentence"),
    [
        ("", "the queue's name is empty, .* leave it out for 'rpc_queue'"),
        ("q" * 256, "has 256 bytes of UTF-8; AMQP has at most 255: shorten it"),
        ("ü" * 128, "has 256 bytes of UTF-8"),
        ("a\0b", "'a.x00b' has a NUL in it"),
        ("prices\n", "a line feed in it"),
        ("prices\r", "a carriage return in it"),
        ("\udcff", "UTF-8"),
        (None, "text, not NoneType"),
        (b"prices", "text, not bytes: b'prices'"),
        (7, "text, not int: 7"),
    ],
)
@pytest.mark.parametrize("declared", [True, False])
def test_a_queue_cannot_be_named_so_on_any_side(queue: object, sentence: str, declared: bool) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        check_queue(queue, declared=declared)


@pytest.mark.parametrize("queue", ["", "q" * 256, "a\n", "\udcff", None, 7])
@pytest.mark.parametrize("client", [RpcClient, AsyncRpcClient])
def test_a_client_checks_the_name_of_its_queue_before_it_connects(client: type, queue: object) -> None:
    with pytest.raises(ConfigurationError, match=r"the queue's name|a queue's name"):
        client("amqp://127.0.0.1:1", queue=queue)


@pytest.mark.parametrize("patterns", [(), ["replies.*"], ("a", "b?"), iter(["a"])])
def test_patterns_are_listed(patterns: object) -> None:
    assert all(isinstance(each, str) for each in check_patterns("callback_queues", patterns))


@pytest.mark.parametrize("patterns", ["replies.*", b"x", 7, None, [""], ["a", 7], [None]])
def test_what_is_no_list_of_patterns_is_told_by_the_options_name(patterns: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^callback_queues (is a list|lists patterns)"):
        RpcServer(callback_queues=patterns)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["fib", "bank.balance", "rpc.ping", "größe", "f" * 255, "ü" * 127, "a b"])
def test_a_method_may_be_named_so(method: str) -> None:
    assert check_method(method) == method


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("", "the method's name is empty; a method's name is text of 1 to 255 bytes, for instance 'fib'"),
        ("f" * 256, "'ffffffffffffffffffff'… has 256 bytes of UTF-8; a method's name is text of 1 to 255 bytes"),
        ("\udcff", "not text that UTF-8 can carry"),
        (check_queue, "by the name that the server has for it, as text: 'check_queue', not <function check_queue"),
        (str, "as text: 'str', not <class 'str'>; what runs is the server's function"),
        (7, "by its name, as text, not by a int: 7"),
        (b"fib", "by its name, as text, not by a bytes: b'fib'"),
        (None, "not by a NoneType: None"),
        (["fib"], "not by a list"),
    ],
)
def test_a_method_cannot_be_named_so(method: object, sentence: str) -> None:
    with pytest.raises(EncodingError) as caught:
        check_method(method)
    assert sentence in str(caught.value)


def test_the_brokers_own_names_may_be_called_and_not_declared() -> None:
    assert check_queue("amq.gen-7", declared=False) == "amq.gen-7"
    with pytest.raises(ConfigurationError, match=r"'amq\.gen-7' begins with 'amq\.', which is for the broker's own"):
        check_queue("amq.gen-7", declared=True)


@pytest.mark.parametrize("target", ["heavy:registry", "shop.prices:registry", "shop:Prices.registry", "größe:r"])
def test_a_registry_is_written_as_its_module_and_its_name(target: str) -> None:
    assert check_registry(target) == target


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("heavy.py:registry", "names a file; .* from its folder: heavy:registry"),
        ("heavy.py", "from its folder: heavy:registry"),
        ("lib/heavy.py:r", "from its folder: heavy:r"),
        ("./heavy:registry", "from its folder: heavy:registry"),
        ("lib\\heavy.py:r", "from its folder: heavy:r"),
        ("/", "from its folder: mymodule:registry"),
        ("heavy", "which registry of the module; it is given as MODULE:NAME, for instance heavy:registry"),
        ("heavy:", "for instance heavy:registry"),
        ("", "for instance mymodule:registry"),
        (":registry", "no MODULE:NAME, for instance mymodule:registry"),
        (".heavy:registry", "no MODULE:NAME"),
        ("heavy:registry:x", "no MODULE:NAME"),
        ("my-heavy:registry", "no MODULE:NAME"),
        ("heavy: registry", "no MODULE:NAME"),
    ],
)
def test_a_registry_that_is_written_otherwise_is_told_how(target: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        check_registry(target)
    assert repr(target) in str(caught.value)


def test_a_registry_itself_is_not_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"'MODULE:NAME', because worker processes import it .* not as a dict"):
        check_registry({})


def test_a_server_checks_both_names_before_it_starts_anything() -> None:
    with pytest.raises(ConfigurationError, match="queue's name is empty"):
        RpcServer(queue="")
    with pytest.raises(ConfigurationError, match=r"begins with 'amq\.'"):
        RpcServer(queue="amq.mine")
    with pytest.raises(ConfigurationError, match="heavy:registry"):
        RpcServer("heavy.py:registry")
