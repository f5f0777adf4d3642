"""What to type after an error of the library's, whose own sentence speaks to programs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from ..errors import ConnectionFailed, NoServer, RpcError


def advice(error: RpcError, options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> str:
    """What is added to an error's sentence; empty where that says it all."""
    if type(error) is ConnectionFailed:  # its kinds were answered by a broker, so that is where it was looked for
        return _where_a_broker_is(options, environ)
    if isinstance(error, NoServer) and hasattr(options, "wait_for_server"):
        return "; in this command: --wait-for-server SECONDS"
    return ""


def _where_a_broker_is(options: argparse.Namespace, environ: Mapping[str, str]) -> str:
    for name, value in (("--url", getattr(options, "url", None)), ("RPCSVC_URL", environ.get("RPCSVC_URL"))):
        if value:
            return f" (that is where {name} says the broker is)"
    return (
        " No broker was named, and no private one runs: start one (rpcsvc broker start), or say where yours is: "
        "RPCSVC_URL=amqp://USER:PASSWORD@HOST:PORT/VHOST"
    )
