"""Where brokers are and who we are there, after RabbitMQ's URI specification and its page on query parameters.

Rules: `str` and `repr` hide passwords, `reveal()` does not. No error shows a part of a URL in which a password may
stand, mistyped ones included.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, unquote, urlsplit

from ..errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

DEFAULT_HEARTBEAT = 30
"""Seconds; RabbitMQ's guide advises 5 to 20 for fast detection and warns of false alarms under 5."""

_PORTS = {"amqp": 5672, "amqps": 5671}
_URL_FORM = "it is written amqp://USER:PASSWORD@HOST:PORT/VHOST (or amqps:// for TLS)"
_ONE_BY_ONE = "several brokers are several whole URLs with a comma between: amqp://…,amqp://…"
# A URL has a slash behind its scheme and none before its path, so this stands in no password and no host.
_BETWEEN = re.compile(r"[\s,;]+(?=amqps?://)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How a broker is known over TLS, and how it knows us.

    Attributes:
        ca_file: the certificate authorities to trust (PEM); None: those of the system.
        cert_file: our own certificate with its chain (PEM), if the broker asks for one.
        key_file: its private key (PEM); None: it stands in `cert_file`.
        verify: whether the broker's certificate and name are checked.
        server_name: the name that the broker's certificate must bear; None: the URL's host.
    """

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    verify: bool = True
    server_name: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class BrokerUrl:
    """Where a broker is and who we are there, after RabbitMQ's URI specification: amqp://user:password@host:port/vhost.

    `str` and `repr` hide the password; `reveal()` is the whole URL.

    Attributes:
        tls: whether the connection is encrypted (amqps://).
        heartbeat: seconds; 0 is none.
        tls_options: how it is encrypted.
        external: whether the broker takes the user's name from our certificate (auth_mechanism=external).
        ssl_context: a ready-made context in place of `tls_options`. It is no part of the text.
    """

    host: str
    port: int
    user: str = "guest"
    password: str = "guest"  # noqa: S105 as everybody knows
    vhost: str = "/"
    tls: bool = False
    heartbeat: int = DEFAULT_HEARTBEAT
    tls_options: TlsOptions = TlsOptions()
    external: bool = False
    ssl_context: ssl.SSLContext | None = field(default=None, compare=False)

    @classmethod
    def parse(cls, url: str) -> BrokerUrl:
        """Read a URL.

        An empty path, or "/", is the default virtual host "/". The query may hold `heartbeat=SECONDS`, and with amqps
        also `cacertfile`, `certfile`, `keyfile`, `verify`, `server_name_indication` and `auth_mechanism`.

        Raises:
            ConfigurationError: it is no such URL. The sentence never holds the password.
        """
        parts, host, port = _split(url)
        if not host:
            raise ConfigurationError("the broker's URL names no host; " + _URL_FORM)
        if "@" in parts.path + parts.query or parts.fragment:
            # What stands there would be shown, and is the rest of a password more likely than a virtual host.
            raise ConfigurationError(
                "in the broker's URL / ? # @ within a password or a virtual host are written %2F %3F %23 %40; "
                + _URL_FORM
            )
        if set(",; ") & set(host):
            raise ConfigurationError(_ONE_BY_ONE)
        path = parts.path.removeprefix("/")
        if "/" in path:
            raise ConfigurationError("a virtual host with a slash is written with %2F; " + _URL_FORM)
        tls = parts.scheme == "amqps"
        options = _query(parts.query, tls)
        external = _external(options)
        if external and (parts.username or parts.password):
            raise ConfigurationError("with auth_mechanism=external the certificate says who we are: no user in the URL")
        return cls(
            host=host,
            port=_PORTS[parts.scheme] if port is None else port,
            user="guest" if parts.username is None else unquote(parts.username),
            password="guest" if parts.password is None else unquote(parts.password),
            vhost=unquote(path) if path else "/",
            tls=tls,
            heartbeat=_heartbeat(options.get("heartbeat")),
            tls_options=_tls_options(options),
            external=external,
        )

    def reveal(self) -> str:
        """The URL with the password in it: for a child's environment or a file of mode 0600, never for a log."""
        return self._text(quote(self.password, safe=""))

    def __str__(self) -> str:
        return self._text("***")

    def __repr__(self) -> str:
        return f"<BrokerUrl {self}{', with a context' if self.ssl_context is not None else ''}>"

    def _text(self, password: str) -> str:
        scheme = "amqps" if self.tls else "amqp"
        user = "" if self.external else f"{quote(self.user, safe='')}:{password}@"
        host = f"[{self.host}]" if ":" in self.host else self.host
        vhost = "/" if self.vhost == "/" else "/" + quote(self.vhost, safe="")
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in self._options())
        return f"{scheme}://{user}{host}:{self.port}{vhost}{'?' if query else ''}{query}"

    def _options(self) -> Iterator[tuple[str, str]]:
        if self.heartbeat != DEFAULT_HEARTBEAT:
            yield "heartbeat", str(self.heartbeat)
        for name, attribute in _FILES_AND_NAMES.items():
            value = getattr(self.tls_options, attribute)
            if value is not None:
                yield name, value
        if not self.tls_options.verify:
            yield "verify", "verify_none"
        if self.external:
            yield "auth_mechanism", "external"


@dataclass(frozen=True, slots=True)
class BrokerUrls:
    """The nodes of one cluster, in the order in which they are tried. At least one; `str` and `repr` hide passwords."""

    nodes: tuple[BrokerUrl, ...]

    @classmethod
    def parse(cls, urls: str | Sequence[str]) -> BrokerUrls:
        """Read one URL or several: a sequence, or a text with commas, semicolons or white space between them.

        Raises:
            ConfigurationError: there is none, or one of them is none.
        """
        nodes = tuple(BrokerUrl.parse(url) for text in _texts(urls) for url in _BETWEEN.split(text))
        if not nodes:
            raise ConfigurationError("the list of brokers is empty; " + _URL_FORM)
        return cls(nodes)

    def over(self, context: ssl.SSLContext | None) -> BrokerUrls:
        """The same nodes, reached with a ready-made TLS context, if there is one.

        Raises:
            ConfigurationError: it is none; a node is not reached by TLS, or its URL says how.
        """
        if context is None:
            return self
        import ssl  # noqa: PLC0415 who has a context has it loaded; nobody else needs it

        if not isinstance(context, ssl.SSLContext):
            raise ConfigurationError(f"ssl_context must be an ssl.SSLContext, not {context!r}")
        for node in self.nodes:
            if not node.tls:
                raise ConfigurationError(f"an ssl_context is for amqps:// only, and {node} would not be encrypted")
            if node.tls_options != TlsOptions(server_name=node.tls_options.server_name):
                raise ConfigurationError(f"either an ssl_context, or files and verify in the URL, not both: {node}")
        return BrokerUrls(tuple(replace(node, ssl_context=context) for node in self.nodes))

    def reveal(self) -> str:
        """All URLs with their passwords; see `BrokerUrl.reveal`."""
        return ",".join(node.reveal() for node in self.nodes)

    def __str__(self) -> str:
        return ", ".join(str(node) for node in self.nodes)


# ---- the parts of a URL -----------------------------------------------------------------------------------------

_FILES_AND_NAMES = {
    "cacertfile": "ca_file",
    "certfile": "cert_file",
    "keyfile": "key_file",
    "server_name_indication": "server_name",
}
_OF_TLS = (*_FILES_AND_NAMES, "verify", "auth_mechanism")
_KNOWN = ("heartbeat", *_OF_TLS)


def _split(url: str) -> tuple[SplitResult, str | None, int | None]:
    """A URL's parts, its host and its port, if it is one of AMQP."""
    if not url.strip():
        raise ConfigurationError("the broker's URL is empty; " + _URL_FORM)
    if "://" not in url:
        raise ConfigurationError(_wrong_beginning(url))  # before a port is looked for in what is none
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname
    except ValueError:
        if re.search(r"[,;]", url.partition("://")[2].partition("/")[0].rpartition("@")[2]):
            raise ConfigurationError(_ONE_BY_ONE) from None
        # Not chained: urllib's sentence shows what it took for the port, which may be half of a password.
        raise ConfigurationError("the broker's URL has a bad port or host; " + _URL_FORM) from None
    if parts.scheme not in _PORTS:
        raise ConfigurationError(_wrong_beginning(url))
    return parts, host, port


# What other programs call AMQP, or what else they reach in the same way.
_OTHER_SCHEMES = {
    "pyamqp": "pyamqp:// is Celery's and kombu's word for amqp://",
    "librabbitmq": "librabbitmq:// is Celery's and kombu's word for amqp://",
    "rabbitmq": "RabbitMQ's own URLs begin with amqp://",
    "amqp+ssl": "AMQP over TLS is amqps://",
    "amqp1": "AMQP 1.0 is another protocol; this is AMQP 0-9-1, at the same port",
    "http": "http:// leads to RabbitMQ's management page; AMQP is another port, 5672 by default",
    "https": "https:// leads to RabbitMQ's management page; AMQP over TLS is another port, 5671 by default",
}
# A host, and perhaps a port: nothing of this form is a user with a password, which stand before an @.
_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:\d{1,5})?/?")


def _wrong_beginning(url: str) -> str:
    """What to say of a URL that is none of amqp:// or amqps://. What stands behind its scheme may hold a password."""
    scheme, found, _ = url.partition("://")
    if found:
        hint = _OTHER_SCHEMES.get(scheme.strip().lower())
        return f"the broker's URL begins with {f'{scheme}:'!r}; {f'{hint}; ' if hint else ''}" + _URL_FORM
    also = "" if set(".:/@") & set(url) else "; a queue is given as queue=NAME"
    if _HOST_AND_PORT.fullmatch(url):
        return f"the broker's URL {url!r} begins with no amqp://; for a broker there, write 'amqp://{url}'{also}"
    return f"the broker's URL begins with no amqp://; {_URL_FORM}{also}"


def _texts(urls: object) -> list[str]:
    """The texts in which URLs were given, without what surrounds them."""
    texts = [urls] if isinstance(urls, str) else list(urls) if isinstance(urls, list | tuple) else None
    if texts is None or not all(isinstance(text, str) for text in texts):
        what = type(urls).__name__ if texts is None else "a list with something else in it"
        raise ConfigurationError(f"the broker's URL is text, or a list of texts for several nodes, not {what}")
    stripped = [text.strip() for text in texts]
    for text in stripped:
        for place, end in (("begins", text[:1]), ("ends", text[-1:])):
            if end in {",", ";"}:
                raise ConfigurationError(
                    f"the broker's URL {place} with {end!r}, which stands between two URLs; leave it out, or write "
                    f"%{ord(end):X} if it belongs to the virtual host"
                )
    return stripped


def _query(query: str, tls: bool) -> dict[str, str]:
    """The options by name. Not urllib's: that would read a plus sign in a path as a space."""
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name not in _KNOWN:
            raise ConfigurationError(
                f"the broker's URL has an option {unquote(name)!r} that is not known; known: {', '.join(_KNOWN)}"
            )
        if name in _OF_TLS and not tls:
            raise ConfigurationError(f"{name} is for amqps://; this URL begins with amqp://, which encrypts nothing")
        if name in options:
            raise ConfigurationError(f"the broker's URL says {name} twice")
        options[name] = unquote(value)
    return options


def _heartbeat(text: str | None) -> int:
    if text is None:
        return DEFAULT_HEARTBEAT
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise ConfigurationError(f"heartbeat in the broker's URL is whole seconds from 0 to 65535, not {text!r}")
    return int(text)


def _tls_options(options: Mapping[str, str]) -> TlsOptions:
    named = {attribute: options.get(name) for name, attribute in _FILES_AND_NAMES.items()}
    for name in _FILES_AND_NAMES:
        if options.get(name) == "":
            raise ConfigurationError(f"{name} in the broker's URL is empty")
    if named["key_file"] is not None and named["cert_file"] is None:
        raise ConfigurationError("keyfile in the broker's URL goes with a certfile")
    verify = options.get("verify", "verify_peer")
    if verify not in ("verify_peer", "verify_none"):
        raise ConfigurationError(f"verify in the broker's URL is verify_peer or verify_none, not {verify!r}")
    return TlsOptions(verify=verify == "verify_peer", **named)


def _external(options: Mapping[str, str]) -> bool:
    mechanism = options.get("auth_mechanism", "plain").lower()
    if mechanism not in ("plain", "external"):
        raise ConfigurationError(f"auth_mechanism in the broker's URL is plain or external, not {mechanism!r}")
    return mechanism == "external"
