"""The network between clients, broker and servers fails."""

from __future__ import annotations

from rpcsvc.testing import Direction

from ..checker import Rules
from ..figures import Figures
from ..load import Load
from ..scenario import scenario
from ..stage import Stage


@scenario(
    "reset",
    "every connection is reset, of clients and servers in turn, every five seconds",
    networks=True,
    allowed={"OutcomeUnknown"},
    # A call is sent three times at most, and each of those may be delivered again.
    rules=Rules(most_starts=9),
)
def reset(stage: Stage) -> None:
    for number in stage.every(2.5):
        with stage.fault("connections are reset"):
            (stage.client_network, stage.server_network)[number % 2].reset_all()


# ---- black holes

_HOLE = 25.0
"""Seconds, fewer than the heartbeat of 30 s that a connection has if nobody says otherwise: nobody notices."""
_UNNOTICED = {
    "networks": True,
    "load": Load(rate=60.0, timeouts=(1.0, 6.0)),
    "allowed": {"RpcTimeout"},
    # A client sends for a second without a sign of life from the broker. What it sent then, and what the broker sent to
    # a server, arrives when the hole is closed, and its `expiration` counts from then.
    "rules": Rules(held_up=1.25, aftermath=5.0),
    # What is in time is as short as the pauses between the holes.
    "figures": Figures(least_ok=0.1),
    "short": 7.0,
}


def _black_holes(stage: Stage, *directions: Direction) -> None:
    """Nothing comes through, of clients and servers in turn; each has half of the time."""
    length = min(_HOLE, stage.remaining / 2 - 1.5)
    for number in stage.every(stage.remaining / 2):
        network = (stage.client_network, stage.server_network)[number % 2]
        with stage.fault(f"the {('clients', 'servers')[number % 2]} lose what goes {directions}"):
            network.stall(*directions)
            stage.sleep(length)
            network.heal()


@scenario(
    "black-hole-up",
    "nothing reaches the broker for 25 s, from the clients and then from the servers; no connection breaks",
    **_UNNOTICED,
)
def black_hole_up(stage: Stage) -> None:
    _black_holes(stage, Direction.UP)


@scenario(
    "black-hole-down",
    "nothing comes from the broker for 25 s, to the clients and then to the servers; no connection breaks",
    **_UNNOTICED,
)
def black_hole_down(stage: Stage) -> None:
    _black_holes(stage, Direction.DOWN)


@scenario(
    "black-hole-noticed",
    "with heartbeats of 2 s, black holes of 11 s in each direction, of clients and servers in turn",
    networks=True,
    url_options="?heartbeat=2",
    load=Load(timeouts=(25.0, 35.0), wait_for_server=20.0),
    # Calls outlast the hole, and are sent again on the next connection.
    allowed={"OutcomeUnknown"},
    rules=Rules(most_starts=9, aftermath=5.0),
    figures=Figures(least_ok=0.8),
    short=8.0,
)
def black_hole_noticed(stage: Stage) -> None:
    turns = [(stage.client_network, way) for way in Direction] + [(stage.server_network, way) for way in Direction]
    stage.chance.shuffle(turns)
    for number in stage.every(15.0):
        network, direction = turns[number % 4]
        with stage.fault(f"a black hole {direction.value}"):
            network.stall(direction)
            stage.sleep(11.0)
            network.heal()


# ---- slow and lossy

_SLOWEST = 0.15
"""Seconds that something takes in one direction at most."""


@scenario(
    "slow-link",
    "for ten seconds in 15 what is sent takes up to 0.3 s there and back, and connections are cut in the middle of it",
    networks=True,
    # One delivery for each worker would be too few: the next one takes as long to come as the link is slow.
    server_options=("--prefetch", "16"),
    load=Load(rate=60.0, timeouts=(8.0, 12.0), wait_for_server=8.0),
    allowed={"OutcomeUnknown"},
    # Time-outs travel as durations, which begin anew on the far side of a slow link.
    rules=Rules(most_starts=9, start_slack=0.25 + 2 * _SLOWEST),
)
def slow_link(stage: Stage) -> None:
    networks = (stage.client_network, stage.server_network)
    ways = [(network, direction) for network in networks for direction in Direction]
    for _ in stage.every(15.0):
        with stage.fault("the link is slow and lossy"):
            for _ in range(5):
                for network, direction in ways:
                    network.delay(stage.chance.uniform(0.002, _SLOWEST), direction)
                network, direction = stage.chance.choice(ways)
                network.cut_after(stage.chance.randrange(1, 20_000), direction)
                stage.sleep(2.0)
            for network in networks:
                network.heal()
