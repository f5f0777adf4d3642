"""Which names of direct callback queues the broker may have made: one that it cannot decode costs a connection."""

from __future__ import annotations

import base64
import struct

import pytest

from rpcsvc.server.direct_reply import PREFIX, node_of

REAL = PREFIX + "g1h2AA5yZXBseUA2MzE3MzQ2MAAAAq0AAAAAawD3/Q==.TJMKjuuD7J/OiwapwBATLQ=="
NUMBERS = struct.pack("!III", 685, 0, 2**32 - 1)


def named(process: bytes) -> str:
    return f"{PREFIX}{base64.b64encode(process).decode()}.TJMKjuuD7J/OiwapwBATLQ=="


def test_a_name_that_the_broker_made_is_of_one_of_its_nodes() -> None:
    assert node_of(REAL) == b"reply@63173460"


@pytest.mark.parametrize("atom", [b"v\0\x07", b"d\0\x07", b"w\x07", b"s\x07"])
def test_a_node_may_be_written_in_each_form_of_an_atom(atom: bytes) -> None:
    assert node_of(named(b"\x83X" + atom + b"reply@1" + NUMBERS)) == b"reply@1"


@pytest.mark.parametrize(
    "name",
    [
        PREFIX,
        PREFIX + "garbage",
        PREFIX + "garbage.key",
        PREFIX + "AAAA.key",
        PREFIX + "%%%%.key",
        PREFIX + "A.key",
        PREFIX + "\udcff\udcff",
        REAL + ".more",
        REAL + "\n",
        REAL.replace(".TJMK", ".\udcffTJMK"),
        REAL.replace(".TJMK", ".é"),
        REAL.partition(".TJMK")[0],
        REAL.partition(".TJMK")[0] + ".",
        REAL.replace("g1h2", "g1h2\n"),
        named(b""),
        named(b"\x83a\x05"),
        named(b"\x83Xw\x07reply@1" + NUMBERS[:-1]),
        named(b"\x83Xw\x07reply@1" + NUMBERS + b"more"),
        named(b"\x83Xw\x06reply@1" + NUMBERS),
        named(b"\x83Xw\x08reply@1" + NUMBERS),
        named(b"\x83Xw\x06reply1" + NUMBERS),
        named(b"\x83Xw\x07reply@\xff" + NUMBERS),
        named(b"\x83Xv\x01\x07reply@1" + NUMBERS),
        named(b"\x82Xw\x07reply@1" + NUMBERS),
        named(b"\x83gw\x07reply@1" + NUMBERS),
        "amq.gen-x",
        "",
    ],
    ids=repr,
)
def test_a_name_that_no_broker_makes_is_of_none(name: str) -> None:
    assert node_of(name) is None
