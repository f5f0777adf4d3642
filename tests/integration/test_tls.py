"""TLS to a real broker: everything works through it, and what must not be trusted is not."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.certificates import Certificates
from support.ctl import RabbitCtl
from support.processes import ServerProcess, wait_until

from rpcsvc import AsyncRpcClient, AuthenticationFailed, ConfigurationError, ConnectionFailed, RpcClient, TlsFailed
from rpcsvc.broker import PrivateBroker
from rpcsvc.broker.ports import random_free_port
from rpcsvc.testing import scaled

Url = Callable[[str], str]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def a_broker(port: int, config: dict[str, str]) -> Iterator[tuple[PrivateBroker, Url]]:
    """A broker with a TLS listener, and its URL there with options."""
    with PrivateBroker.temporary(prefix="rpcsvc-test-", config=config) as broker:
        base = broker.url.replace("amqp://", "amqps://").replace(f":{broker.port}/", f":{port}/")
        yield broker, lambda query: f"{base}?{query}"


@pytest.fixture(scope="module")
def encrypted(certificates: Certificates) -> Iterator[tuple[PrivateBroker, Url]]:
    """A broker that shows a certificate and asks for none."""
    port = random_free_port()
    yield from a_broker(port, certificates.listener(port))


@pytest.fixture(scope="module")
def strict(certificates: Certificates) -> Iterator[tuple[PrivateBroker, Url]]:
    """A broker that lets nobody in without a certificate, and takes the name in it for the user's."""
    port = random_free_port()
    config = certificates.listener(port, verify="verify_peer", fail_if_no_peer_cert="true")
    config |= {
        "auth_mechanisms.1": "PLAIN",
        "auth_mechanisms.2": "EXTERNAL",
        "ssl_cert_login_from": "common_name",
    }
    for broker, url in a_broker(port, config):
        ctl = RabbitCtl(broker)
        ctl.enable_plugin("rabbitmq_auth_mechanism_ssl")
        ctl.add_user("ann", secrets.token_hex())
        ctl.permit("ann", ".*", ".*", ".*")
        yield broker, url


def refusal(url: str, **options: ssl.SSLContext) -> ConnectionFailed:
    """Why a client cannot connect. Certificates do not get better by waiting: it says so at once."""
    began = time.monotonic()
    with pytest.raises(ConnectionFailed) as caught:
        RpcClient(url, connect_timeout=60, **options).close()
    assert time.monotonic() - began < scaled(40)
    return caught.value


# ---- what works


@pytest.fixture(scope="module")
def pool(encrypted: tuple[PrivateBroker, Url], certificates: Certificates) -> Iterator[str]:
    """The URL of a broker on which a pool serves through TLS."""
    url = encrypted[1](f"cacertfile={certificates.ca}")
    with ServerProcess(url, "--workers", "2") as server:
        yield url
        print(server.output)


def test_calls_packs_maps_and_large_values_go_through_tls(pool: str) -> None:
    large = os.urandom(15_000_000)  # RabbitMQ 4 carries 16 MiB
    with RpcClient(pool, timeout=60) as client:
        assert client.call("fib", 100) == 354224848179261915075
        futures = [client.submit("fib", number % 30) for number in range(2000)]
        assert [future.result() for future in futures[:5]] == [0, 1, 1, 2, 3]
        assert sum(future.result() for future in futures) == sum(map(fib, (n % 30 for n in range(2000))))
        assert sum(client.map("fib", range(50))) == 20365011073
        assert client.call("echo", large) == large


def fib(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


def test_the_asyncio_client_goes_through_tls(pool: str) -> None:
    async def main() -> list[int]:
        async with AsyncRpcClient(pool) as client:
            return await asyncio.gather(*(client.call("fib", number) for number in range(10)))

    assert asyncio.run(main()) == [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]


def test_the_command_goes_through_tls(pool: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "rpcsvc", "call", "fib", "30"],
        env={**os.environ, "RPCSVC_URL": pool},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "832040\n", "")


def test_a_context_of_ones_own_says_whom_to_trust(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates, pool: str
) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    with RpcClient(encrypted[1](""), ssl_context=context) as client:
        assert client.call("fib", 30) == 832040


def test_a_broker_that_comes_back_is_reached_through_tls_again(encrypted: tuple[PrivateBroker, Url], pool: str) -> None:
    broker, _ = encrypted
    with RpcClient(pool, timeout=30, wait_for_server=20) as client:
        slow = client.submit("sleep", 1.0)
        first = client.callback_queue
        RabbitCtl(broker).close_all_connections()
        assert slow.result() == 1.0
        assert client.call("fib", 30) == 832040
        assert client.callback_queue != first


def test_with_a_certificate_a_strict_broker_lets_server_and_client_in(
    strict: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    url = strict[1](f"cacertfile={certificates.ca}&certfile={certificates.ann}")
    with ServerProcess(url, "--workers", "1"), RpcClient(url) as client:
        assert client.call("fib", 30) == 832040


def test_the_certificate_may_take_the_place_of_user_and_password(
    strict: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    with_user = strict[1](f"cacertfile={certificates.ca}&certfile={certificates.ann}&auth_mechanism=external")
    url = "amqps://" + with_user.partition("@")[2]
    with ServerProcess(url, "--workers", "1"), RpcClient(url) as client:
        assert client.call("fib", 30) == 832040
        assert "ann" in RabbitCtl(strict[0])("list_connections", "user")


# ---- what is refused, each with its sentence


def test_a_broker_of_an_unknown_authority_is_not_trusted(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    for url in (encrypted[1](""), encrypted[1](f"cacertfile={certificates.stranger_ca}")):
        error = refusal(url)
        assert isinstance(error, TlsFailed)
        assert "of an authority that is not trusted here" in str(error)


def test_a_broker_with_another_name_is_not_trusted(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    error = refusal(encrypted[1](f"cacertfile={certificates.ca}&server_name_indication=mq.example.org"))

    assert isinstance(error, TlsFailed)
    assert "the broker's certificate is for another name" in str(error)
    assert "'mq.example.org'" in str(error)


def test_only_who_says_so_trusts_any_broker(
    encrypted: tuple[PrivateBroker, Url], caplog: pytest.LogCaptureFixture
) -> None:
    RpcClient(encrypted[1]("verify=verify_none")).close()
    assert "is not checked" in caplog.text


def test_an_expired_certificate_is_not_trusted(certificates: Certificates) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.expired)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def show_the_certificate() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=show_the_certificate)
        thread.start()
        error = refusal(f"amqps://127.0.0.1:{listener.getsockname()[1]}/?cacertfile={certificates.ca}")
        thread.join()

    assert isinstance(error, TlsFailed)
    assert "the broker's certificate has expired" in str(error)


def test_a_port_without_tls_is_told_from_one_with(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    broker, url = encrypted
    tls_to_plain = refusal(broker.url.replace("amqp://", "amqps://"))
    assert isinstance(tls_to_plain, TlsFailed)
    assert "does not answer in TLS; RabbitMQ's port for it is 5671" in str(tls_to_plain)

    with pytest.raises(ConnectionFailed, match=r"a port for TLS, which is amqps://"):
        RpcClient(url("").replace("amqps://", "amqp://"), connect_timeout=1).close()


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_a_broker_that_wants_a_certificate_says_so(
    strict: tuple[PrivateBroker, Url], certificates: Certificates, newest: ssl.TLSVersion
) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.maximum_version = newest  # with 1.3 the refusal comes after the handshake, with 1.2 within it
    error = refusal(strict[1](""), ssl_context=context)

    assert isinstance(error, TlsFailed)
    assert "it wants a certificate of ours" in str(error)


def test_a_certificate_of_an_authority_that_the_broker_does_not_know_is_told_so(
    strict: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    error = refusal(strict[1](f"cacertfile={certificates.ca}&certfile={certificates.stranger}"))

    assert isinstance(error, TlsFailed)
    assert "it does not trust the authority of our certificate" in str(error)


def test_a_login_by_certificate_needs_a_broker_that_takes_it(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    query = f"cacertfile={certificates.ca}&certfile={certificates.ann}&auth_mechanism=external"
    error = refusal("amqps://" + encrypted[1](query).partition("@")[2])

    assert isinstance(error, AuthenticationFailed)
    assert "rabbitmq_auth_mechanism_ssl" in str(error)


def test_a_wrong_password_behind_tls_is_an_authentication_error(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates
) -> None:
    url = encrypted[1](f"cacertfile={certificates.ca}").replace("rpcsvc:", "rpcsvc:not-")
    assert isinstance(refusal(url), AuthenticationFailed)


def test_a_file_that_cannot_be_read_is_a_configuration_error_for_client_and_server(
    encrypted: tuple[PrivateBroker, Url], tmp_path: Path
) -> None:
    url = encrypted[1](f"cacertfile={tmp_path}/gone.pem")
    with pytest.raises(ConfigurationError, match=r"gone\.pem' cannot be read"):
        RpcClient(url).close()
    with ServerProcess(url, "--workers", "1", ready=False) as server:
        assert server.wait(30) == 2
        assert "cannot be read" in server.output


def test_a_file_that_goes_away_while_a_server_runs_does_not_end_it(
    encrypted: tuple[PrivateBroker, Url], certificates: Certificates, tmp_path: Path
) -> None:
    """Certificates are renewed while servers run, and not in one moment."""
    broker, url = encrypted
    own = tmp_path / "ca.pem"
    shutil.copy(certificates.ca, own)
    queue = "renewal"
    with ServerProcess(url(f"cacertfile={own}"), "--workers", "1", "--queue", queue) as server:
        own.unlink()
        RabbitCtl(broker).close_all_connections()
        wait_until(lambda: "cannot be read" in server.output)
        shutil.copy(certificates.ca, own)
        with RpcClient(url(f"cacertfile={certificates.ca}"), queue=queue, wait_for_server=30, timeout=30) as client:
            assert client.call("fib", 30) == 832040
