"""From what a URL says of TLS to the context of a connection.

Rules: what is not said is the safe choice: TLS 1.2 or later, the system's certificate authorities, the certificate and
the name in it checked. Files are read anew for each connection, so that a renewed certificate needs no restart.
"""

from __future__ import annotations

import logging
import os
import ssl

from ..errors import ConfigurationError
from ..settings import BrokerUrl

log = logging.getLogger(__name__)

KEY_PASSWORD = "RPCSVC_TLS_KEY_PASSWORD"  # noqa: S105 the variable's name
"""The environment variable with the password of an encrypted private key."""

_warned: set[tuple[str, int]] = set()


def context_for(url: BrokerUrl) -> ssl.SSLContext | None:
    """The TLS context for a broker, or None where the URL asks for none.

    Raises:
        ConfigurationError: a file that the URL names cannot be used.
    """
    if not url.tls:
        return None
    if url.ssl_context is not None:
        return url.ssl_context
    options = url.tls_options
    context = _verifying(options.ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.cert_file is not None:
        _load_certificate(context, options.cert_file, options.key_file)
    if not options.verify:
        _warn_once(url)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def server_name_for(url: BrokerUrl) -> str | None:
    """The name that the broker's certificate must bear; None where there is no TLS."""
    return (url.tls_options.server_name or url.host) if url.tls else None


def _verifying(path: str | None) -> ssl.SSLContext:
    """A context that trusts the authorities in a file and no others, or without one those of the system."""
    try:
        return ssl.create_default_context(cafile=path)
    except ssl.SSLError as error:
        raise ConfigurationError(f"cacertfile {path!r} holds no certificates in PEM form ({error.reason})") from None
    except OSError as error:
        raise ConfigurationError(f"cacertfile {path!r} cannot be read: {error.strerror}") from None


def _load_certificate(context: ssl.SSLContext, path: str, key: str | None) -> None:
    for name, file in (("certfile", path), ("keyfile", key)):
        try:
            if file is not None:
                os.close(os.open(file, os.O_RDONLY))  # OpenSSL's own sentence does not say which one
        except OSError as error:
            raise ConfigurationError(f"{name} {file!r} cannot be read: {error.strerror}") from None
    asked = False

    def password() -> str:
        # Without this, OpenSSL would ask at the terminal, or wait for ever where there is none.
        nonlocal asked
        asked = True
        return os.environ.get(KEY_PASSWORD, "")

    try:
        context.load_cert_chain(path, key, password)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None)
        files = f"certfile {path!r}" + (f" and keyfile {key!r}" if key is not None else "")
        if asked:
            what = "the private key is encrypted, and the password"
            given = f"in {KEY_PASSWORD} does not open it" if os.environ.get(KEY_PASSWORD) else "is missing"
            raise ConfigurationError(f"{files}: {what} {given}; it is read from {KEY_PASSWORD}") from None
        if reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{files}: the key is not that of the certificate") from None
        raise ConfigurationError(f"{files}: no certificate with its private key in PEM form ({reason})") from None


def _warn_once(url: BrokerUrl) -> None:
    if (url.host, url.port) not in _warned:
        _warned.add((url.host, url.port))
        log.warning(
            "verify_none: the certificate of %s is not checked, so anybody between may read and change all", url
        )
