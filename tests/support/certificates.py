"""An authority with certificates for a broker, for us, and for strangers, as files."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme


class Certificates:
    """What an installation with TLS has lying around.

    Attributes:
        ca, stranger_ca: the authorities' certificates.
        broker, broker_key: of 127.0.0.1 and localhost.
        expired: of the same, certificate and key in one file, out of date.
        ann: of our user, certificate and key in one file; stranger: of somebody else's authority.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        authority, strangers = trustme.CA(), trustme.CA()
        names = ("127.0.0.1", "localhost")
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        broker = authority.issue_cert(*names)
        self.ca = self._file("ca.pem", authority.cert_pem)
        self.stranger_ca = self._file("stranger-ca.pem", strangers.cert_pem)
        self.broker = self._file("broker.pem", *broker.cert_chain_pems)
        self.broker_key = self._file("broker.key", broker.private_key_pem)
        self.expired = self._pair(
            "expired", authority.issue_cert(*names, not_before=yesterday - datetime.timedelta(1), not_after=yesterday)
        )
        self.ann = self._pair("ann", authority.issue_cert("ann@example.org", common_name="ann"))
        self.stranger = self._pair("stranger", strangers.issue_cert("bob@example.org", common_name="bob"))

    def listener(self, port: int, **options: str) -> dict[str, str]:
        """Lines of rabbitmq.conf for a TLS listener on 127.0.0.1."""
        files = {"cacertfile": self.ca, "certfile": self.broker, "keyfile": self.broker_key}
        lines = {f"ssl_options.{name}": str(value) for name, value in {**files, **options}.items()}
        return {"listeners.ssl.1": f"127.0.0.1:{port}", **lines}

    def _pair(self, name: str, certificate: trustme.LeafCert) -> Path:
        return self._file(f"{name}.pem", certificate.private_key_and_cert_chain_pem)

    def _file(self, name: str, *blobs: trustme.Blob) -> Path:
        path = self._folder / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return path
