"""From what a URL says of TLS to a context: what is trusted and shown, and what is said of files that are no use."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from rpcsvc.amqp import tls
from rpcsvc.amqp.tls import context_for, server_name_for
from rpcsvc.errors import ConfigurationError
from rpcsvc.settings import BrokerUrl


class Files:
    """Certificates and keys in a folder."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
        ours, others = authority.issue_cert("ann"), authority.issue_cert("bob")
        key = serialization.load_pem_private_key(ours.private_key_pem.bytes(), None)
        encrypted = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"open sesame"),
        )
        certificate = ours.cert_chain_pems[0].bytes()
        for name, content in {
            "ca": authority.cert_pem.bytes(),
            "cert": certificate,
            "key": ours.private_key_pem.bytes(),
            "both": ours.private_key_pem.bytes() + certificate,
            "other": others.private_key_pem.bytes(),
            "encrypted": encrypted,
            "nonsense": b"certificates were here",
        }.items():
            (folder / name).write_bytes(content)
        self._folder = folder

    def url(self, query: str) -> BrokerUrl:
        """A URL with options; {ca} and the like are the files."""
        paths = {path.name: path for path in self._folder.iterdir()}
        return BrokerUrl.parse("amqps://mq/?" + query.format(none=self._folder / "none", **paths))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("certificates"))


def test_without_tls_there_is_no_context() -> None:
    assert context_for(BrokerUrl("mq", 5672)) is None
    assert server_name_for(BrokerUrl("mq", 5672)) is None


@pytest.mark.parametrize("query", ["", "cacertfile={ca}", "certfile={both}", "verify=verify_peer"])
def test_unless_it_is_said_otherwise_certificate_name_and_version_are_checked(files: Files, query: str) -> None:
    context = context_for(files.url(query))

    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_authorities_that_are_named_are_the_only_ones(files: Files) -> None:
    context = context_for(files.url("cacertfile={ca}"))

    assert context is not None
    assert [dict(one[0] for one in cert["subject"])["organizationName"] for cert in context.get_ca_certs()] == [
        f"trustme v{trustme.__version__}"
    ]


def test_the_name_to_expect_is_the_hosts_or_another(files: Files) -> None:
    assert server_name_for(files.url("")) == "mq"
    assert server_name_for(files.url("server_name_indication=mq.example.org")) == "mq.example.org"


def test_a_check_that_is_turned_off_is_warned_of_once(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    tls._warned.clear()
    url = BrokerUrl.parse("amqps://ann:hunter2@mq/?verify=verify_none")
    with caplog.at_level(logging.WARNING):
        contexts = [context_for(url) for _ in range(3)]

    assert [context.verify_mode for context in contexts if context] == [ssl.CERT_NONE] * 3
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["verify_none"]
    assert "hunter2" not in caplog.text


def test_a_ready_made_context_is_used_as_it_is() -> None:
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    assert context_for(BrokerUrl("mq", 5671, tls=True, ssl_context=own)) is own


@pytest.mark.parametrize("query", ["certfile={both}", "certfile={cert}&keyfile={key}"])
def test_a_certificate_and_its_key_may_be_in_one_file_or_two(files: Files, query: str) -> None:
    assert context_for(files.url(query)) is not None


def test_an_encrypted_key_is_opened_with_the_password_from_the_environment(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(tls.KEY_PASSWORD, "open sesame")
    assert context_for(files.url("certfile={cert}&keyfile={encrypted}")) is not None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("cacertfile={none}", "cacertfile '.*none' cannot be read: No such file"),
        ("cacertfile={nonsense}", "cacertfile '.*nonsense' holds no certificates"),
        ("certfile={none}&keyfile={key}", "certfile '.*none' cannot be read: No such file"),
        ("certfile={cert}&keyfile={none}", "keyfile '.*none' cannot be read: No such file"),
        ("certfile={nonsense}", "certfile '.*nonsense': no certificate with its private key"),
        ("certfile={cert}", "certfile '.*cert': no certificate with its private key"),
        ("certfile={cert}&keyfile={other}", "the key is not that of the certificate"),
        ("certfile={cert}&keyfile={encrypted}", "encrypted, and the password is missing; .* RPCSVC_TLS_KEY_PASSWORD"),
    ],
)
def test_a_file_that_is_no_use_is_named_with_what_is_wrong(
    files: Files, query: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tls.KEY_PASSWORD, raising=False)
    with pytest.raises(ConfigurationError, match=sentence):
        context_for(files.url(query))


def test_a_wrong_password_of_a_key_is_not_shown(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tls.KEY_PASSWORD, "hunter2")
    with pytest.raises(ConfigurationError, match="does not open it") as caught:
        context_for(files.url("certfile={cert}&keyfile={encrypted}"))
    assert "hunter2" not in str(caught.value)


def test_a_file_that_may_not_be_read_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(tls.os, "open", refuse)  # root may read everything
    with pytest.raises(ConfigurationError, match=r"certfile '.*both' cannot be read: Permission denied"):
        context_for(files.url("certfile={both}"))
