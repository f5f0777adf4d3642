"""Where brokers are and who we are there, as a URL says it."""

from __future__ import annotations

import pickle
import ssl
import traceback

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.examples import examples

from rpcsvc.errors import ConfigurationError
from rpcsvc.settings.urls import BrokerUrl, BrokerUrls, TlsOptions

BOUNDED = examples(60)
TEXT = st.text(st.characters(codec="utf-8"))


# ---- one URL ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("amqp://localhost", BrokerUrl("localhost", 5672)),
        ("amqp://localhost/", BrokerUrl("localhost", 5672)),
        ("amqp://localhost/%2F", BrokerUrl("localhost", 5672)),
        ("AMQP://LocalHost", BrokerUrl("localhost", 5672)),
        ("amqps://mq.example.org", BrokerUrl("mq.example.org", 5671, tls=True)),
        ("amqp://ann:secret@h:99/shop", BrokerUrl("h", 99, "ann", "secret", "shop")),
        ("amqp://ann@h", BrokerUrl("h", 5672, "ann", "guest")),
        ("amqp://:@h", BrokerUrl("h", 5672, "", "")),
        ("amqp://a%40b:p%2Fq%3A%C3%A9@h/x%2Fy", BrokerUrl("h", 5672, "a@b", "p/q:é", "x/y")),
        ("amqp://[::1]:5673/v", BrokerUrl("::1", 5673, vhost="v")),
        ("amqp://h/?heartbeat=5", BrokerUrl("h", 5672, heartbeat=5)),
        ("amqp://h?heartbeat=0", BrokerUrl("h", 5672, heartbeat=0)),
        ("amqp://h/?heartbeat=65535", BrokerUrl("h", 5672, heartbeat=65535)),
        ("amqps://h/?verify=verify_peer&auth_mechanism=PLAIN", BrokerUrl("h", 5671, tls=True)),
        ("amqps://h/?auth_mechanism=external", BrokerUrl("h", 5671, tls=True, external=True)),
        (
            "amqps://h/?cacertfile=/ca&certfile=/c++/a%20b&keyfile=/k%3F&verify=verify_none&server_name_indication=mq",
            BrokerUrl("h", 5671, tls=True, tls_options=TlsOptions("/ca", "/c++/a b", "/k?", False, "mq")),
        ),
    ],
)
def test_a_url_is_read_as_rabbitmq_specifies(text: str, url: BrokerUrl) -> None:
    assert BrokerUrl.parse(text) == url


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("http://h", "begins with 'http:'"),
        (
            "localhost:5672",
            "'localhost:5672' begins with no amqp://; for a broker there, write 'amqp://localhost:5672'",
        ),
        ("[::1]:5672", "write 'amqp://[::1]:5672'"),
        ("localhost", "write 'amqp://localhost'; a queue is given as queue=NAME"),
        (
            "rpc_queue",
            "begins with no amqp://; it is written amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps:// for TLS); a",
        ),
        ("ann:secret@h", "begins with no amqp://; it is written amqp://USER"),
        ("amqp:h", "begins with no amqp://"),
        ("amqp:/h", "begins with no amqp://"),
        ("pyamqp://ann:secret@h//", "begins with 'pyamqp:'; pyamqp:// is Celery's"),
        ("http://h:15672", "management page"),
        ("redis://h", "begins with 'redis:'; it is written amqp://"),
        ("", "the broker's URL is empty; it is written amqp://"),
        ("amqp://", "names no host"),
        ("amqp://:5672", "names no host"),
        ("amqp://h:many", "bad port or host"),
        ("amqp://h:70000", "bad port or host"),
        ("amqp://[::1", "bad port or host"),
        ("amqp://h//", "%2F"),
        ("amqp://h/a/b", "%2F"),
        ("amqp://h/a#b", "%23"),
        ("amqp://h/?heartbeat=soon", "whole seconds"),
        ("amqp://h/?heartbeat=", "whole seconds"),
        ("amqp://h/?heartbeat=-1", "whole seconds"),
        ("amqp://h/?heartbeat=65536", "whole seconds"),
        ("amqp://h/?heartbeat=" + "9" * 5000, "whole seconds"),
        ("amqp://h/?frame_max=1", "'frame_max'"),
        ("amqp://h/?frame_max", "'frame_max'"),
        ("amqp://h/?heartbeat=5&heartbeat=6", "heartbeat twice"),
        ("amqp://h/?cacertfile=/ca.pem", "cacertfile is for amqps://"),
        ("amqp://h/?verify=verify_peer", "encrypts nothing"),
        ("amqp://h/?auth_mechanism=external", "encrypts nothing"),
        ("amqps://h/?cacertfile=", "cacertfile in the broker's URL is empty"),
        ("amqps://h/?keyfile=/k.pem", "goes with a certfile"),
        ("amqps://h/?verify=no", "verify_peer or verify_none, not 'no'"),
        ("amqps://h/?auth_mechanism=gssapi", "plain or external, not 'gssapi'"),
        ("amqps://ann@h/?auth_mechanism=external", "no user in the URL"),
        ("amqps://:secret@h/?auth_mechanism=external", "no user in the URL"),
        ("amqp://a,b", "several whole URLs"),
        ("amqp://a;b:5672/v", "several whole URLs"),
        ("amqp://a:5672,b:5672", "several whole URLs"),
        ("amqp://a:5672,b", "several whole URLs"),
    ],
)
def test_a_url_that_is_none_is_refused_with_what_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BrokerUrl.parse(text)
    assert sentence in str(caught.value)


BROKER_URLS = st.builds(
    BrokerUrl,
    host=st.sampled_from(["localhost", "10.0.0.7", "::1", "mq.example.org"]),
    port=st.integers(0, 65535),
    user=TEXT,
    password=TEXT,
    vhost=TEXT.filter(bool),
    tls=st.booleans(),
    heartbeat=st.integers(0, 65535),
)
PATHS = st.none() | TEXT.filter(bool)
TLS_URLS = st.builds(
    BrokerUrl,
    host=st.just("h"),
    port=st.just(5671),
    tls=st.just(True),
    tls_options=st.builds(TlsOptions, ca_file=PATHS, cert_file=TEXT.filter(bool), key_file=PATHS, server_name=PATHS),
    external=st.booleans(),
)


@BOUNDED
@given(BROKER_URLS | TLS_URLS)
@example(BrokerUrl("h", 1, password="p@ss/w:o#r?d[%41]\n é", vhost="x/y"))
def test_a_revealed_url_is_read_back_as_it_was(url: BrokerUrl) -> None:
    assert BrokerUrl.parse(url.reveal()) == url
    assert pickle.loads(pickle.dumps(url)) == url


@BOUNDED
@given(TEXT, TEXT.filter(bool))
@example("hunter2", "/")
def test_a_password_is_never_shown(password: str, vhost: str) -> None:
    url = BrokerUrl("mq", 5672, "ann", password, vhost)
    without = BrokerUrl("mq", 5672, "ann", "", vhost)

    assert str(url) == without.reveal().replace("ann:@", "ann:***@", 1)
    assert f"{url}" == str(url)
    assert repr(url) == f"<BrokerUrl {url}>"


# Passwords pasted as they are: each holds a character that ends the part of a URL in which a password stands.
@pytest.mark.parametrize("place", ["hunter{}secret", "{}hunter2secret", "1{}secret", "1@a{}secret", "a@1{}secret"])
@pytest.mark.parametrize("character", ["/", "?", "#", "[", "]", "?secret=", "?heartbeat=", "\u2100"])
def test_an_unescaped_password_is_not_shown_by_the_refusal(place: str, character: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BrokerUrl.parse(f"amqp://ann:{place.format(character)}@mq/shop")

    shown = "".join(traceback.format_exception(caught.value))  # with what urllib said, if that is chained to ours
    assert "secret" not in shown
    assert "hunter" not in shown


# ---- several ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "urls",
    [
        "amqp://a/x,amqps://b",
        "amqp://a/x;amqps://b",
        " amqp://a/x ,  AMQPS://b\n",
        "amqp://a/x\namqps://b",
        ["amqp://a/x", "amqps://b"],
        ("amqp://a/x", " amqps://b "),
    ],
)
def test_several_brokers_are_a_list_or_a_text_with_something_between(urls: str | list[str]) -> None:
    assert BrokerUrls.parse(urls).nodes == (BrokerUrl("a", 5672, vhost="x"), BrokerUrl("b", 5671, tls=True))


@pytest.mark.parametrize("password", ["a,b", "a;b", "a, b", "amqp:x", "a,amqp:", ";"])
def test_what_may_stand_between_urls_may_stand_in_a_password(password: str) -> None:
    (node,) = BrokerUrls.parse(f"amqp://ann:{password}@h").nodes
    assert (node.host, node.password) == ("h", password)


@pytest.mark.parametrize("urls", [[], (), [""], "", "amqp://a,http://b", ["amqp://a", "b"]])
def test_a_list_with_what_is_no_broker_is_refused(urls: str | list[str]) -> None:
    with pytest.raises(ConfigurationError):
        BrokerUrls.parse(urls)


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        ("amqp://h,", "ends with ',', which stands between two URLs; leave it out, or write %2C"),
        ("amqp://h/shop; ", "ends with ';', which stands between two URLs; leave it out, or write %3B"),
        (",amqp://h", "begins with ','"),
        (["amqp://a", "amqp://b,"], "ends with ','"),
        (b"amqp://h", "is text, or a list of texts for several nodes, not bytes"),
        (5, "not int"),
        (["amqp://h", 5], "not a list with something else in it"),
        ([None], "not a list with something else in it"),
    ],
)
def test_what_surrounds_urls_and_what_is_no_text_is_said(urls: object, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        BrokerUrls.parse(urls)  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@BOUNDED
@given(st.lists(BROKER_URLS | TLS_URLS, min_size=1, max_size=3))
def test_revealed_urls_are_read_back_as_they_were(nodes: list[BrokerUrl]) -> None:
    urls = BrokerUrls(tuple(nodes))
    assert BrokerUrls.parse(urls.reveal()) == urls
    assert pickle.loads(pickle.dumps(urls)) == urls


def test_what_is_written_as_short_as_can_be_is_revealed_as_it_was_written() -> None:
    urls = "amqp://ann:secret@a:5672/?heartbeat=5,amqps://ann:secret@b:5671/jobs?cacertfile=/ca.pem"
    assert BrokerUrls.parse(urls).reveal() == urls


def test_of_several_brokers_no_password_is_shown() -> None:
    urls = BrokerUrls.parse("amqp://ann:hunter2@a,amqps://bob:hunter3@b")

    assert str(urls) == "amqp://ann:***@a:5672/, amqps://bob:***@b:5671/"
    assert "hunter" not in repr(urls)


# ---- a ready-made context ---------------------------------------------------------------------------------------


def test_a_context_of_ones_own_is_used_for_every_node() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    urls = BrokerUrls.parse("amqps://a,amqps://b/?server_name_indication=mq")

    assert [node.ssl_context for node in urls.over(context).nodes] == [context, context]
    assert [node.tls_options.server_name for node in urls.over(context).nodes] == [None, "mq"]
    assert urls.over(None) is urls
    assert "with a context" in repr(urls.over(context))


@pytest.mark.parametrize(
    ("urls", "sentence"),
    [
        ("amqps://a,amqp://b", "amqp://guest:.*@b:5672/ would not be encrypted"),
        ("amqps://a/?cacertfile=/ca.pem", "not both"),
        ("amqps://a/?verify=verify_none", "not both"),
    ],
)
def test_a_context_that_would_not_hold_is_refused(urls: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        BrokerUrls.parse(urls).over(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
