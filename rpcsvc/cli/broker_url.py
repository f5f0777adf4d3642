"""The option --url, which three subcommands have."""

from __future__ import annotations

import argparse
import sys

from ..settings import parse_urls
from ..settings.options import URL


def add_url(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the option; `given_url` reads it."""
    parser.add_argument(
        "--url",
        metavar=URL.kind.unit,
        help=f"{URL.help} ({URL.shown_default}); better given as RPCSVC_URL, which others do not see",
    )


def given_url(options: argparse.Namespace) -> str | None:
    """What was given, with a warning if it holds a secret: every user of the machine can list command lines.

    Raises:
        ConfigurationError: it is malformed.
    """
    url: str | None = options.url
    if url and any(node.password not in ("", "guest") for node in parse_urls("--url", url).nodes):
        print(
            "rpcsvc: the password in --url can be seen by every user of this machine (ps); give the URL as RPCSVC_URL",
            file=sys.stderr,
            flush=True,
        )
    return url
