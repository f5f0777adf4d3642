"""Any order of calls and faults, against a model of what each call may come to.

The model knows of each call what it ought to come to, and which errors are excused by what happened between its
beginning and its end. Everything else is a fault: a wrong value, an error that nothing excuses, an outcome after the
deadline or none at all, a second one, a call that ran twice and must not.

The test makes the same few examples each time. For a long run of others:

    RPCSVC_CHAOS_EXAMPLES=500 python -m pytest tests/chaos/test_state_machine.py -o timeout=0
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from math import inf
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support.processes import wait_until
from world import TIMEOUT, World

from rpcsvc import ConnectionLost, FunctionRaised, OutcomeUnknown, RpcTimeout, WorkerLost
from rpcsvc.broker import PrivateBroker
from rpcsvc.client.futures import RpcFuture
from rpcsvc.functions.builtin.fibonacci import fib
from rpcsvc.testing import Direction, scaled

EXAMPLES = int(os.environ.get("RPCSVC_CHAOS_EXAMPLES", "0"))
LATE = scaled(0.25)
"""Seconds after its deadline by which a call has its outcome."""
SLACK = scaled(1.0)
"""Seconds that a busy machine may take to let a thread run."""
RECOVERY = 5.0
"""Seconds from the cure to the first call that succeeds."""
AFTERMATH = 0.5 + SLACK
"""Seconds after which everybody has noticed that a connection has gone; until then calls still go into it."""
MOST_KILLS = 4
"""In one example: a pool whose workers all end, whatever they do, gives up, and is right to."""
MOST_SENT = 3
"""After so many lost connections a client gives a call up."""

choices = st.integers(0, 50)
directions = st.sampled_from([(Direction.UP,), (Direction.DOWN,), ()])


@dataclass
class Trouble:
    """A time in which nothing could come of some calls: a stall, a worker that is stopped."""

    began: float
    ended: float = inf


@dataclass
class Call:
    """One call, and what the model knows of it."""

    future: RpcFuture
    what: str
    value: Any
    deadline: float
    excused: set[type[BaseException]]
    only_once: int | None = None
    connections_lost: int = 0
    ended: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.future.add_done_callback(lambda _: self.ended.append(time.monotonic()))

    def check(self, troubles: list[Trouble]) -> None:
        """The outcome is one that it may have come to, and came once and in time."""
        if any(trouble.began < self.deadline < trouble.ended + RECOVERY + SLACK for trouble in troubles):
            self.excused.add(RpcTimeout)
        assert len(self.ended) == 1, f"{self}: {len(self.ended)} outcomes"
        late = self.ended[0] - self.deadline
        assert late <= LATE + SLACK, f"{self}: {late:.3f} s after its deadline"
        if self.future.cancelled():
            assert CancelledError in self.excused, f"{self} was cancelled by nobody"
        elif (error := self.future.exception()) is not None:
            assert type(error) in self.excused, f"{self}: nothing excuses {error!r}"
        else:
            assert self.future.result() == self.value, f"{self}: a wrong result"

    def __str__(self) -> str:
        return f"{self.what} (call {self.future.call_id})"


class Model(RuleBasedStateMachine):
    """Calls and faults, and what may come of them.

    Which rules may come next depends on the rules before, never on what the world made of them: Hypothesis insists.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.calls: list[Call] = []
        self.troubles: list[Trouble] = []
        self.aftermath = 0.0
        """Until when calls that begin may still go into a connection that has gone."""
        self.kills = 0

    # ---- the model

    @property
    def lasting(self) -> bool:
        """Whether there is something to be healed."""
        return bool(self.troubles) and self.troubles[-1].ended == inf

    def begin(self, method: str, *args: Any, value: Any, timeout: float = TIMEOUT, **known: Any) -> None:
        what = f"{method}{args}"
        deadline = time.monotonic() + timeout
        excused = known.pop("excused", set())
        if "only_once" in known and time.monotonic() < self.aftermath:
            excused.add(OutcomeUnknown)
        future = self.world.client.submit(method, *args, timeout=timeout)
        self.calls.append(Call(future, what, value, deadline, excused, **known))

    def under_way(self) -> list[Call]:
        return [call for call in self.calls if not call.future.done()]

    def excuse(self, *errors: type[BaseException]) -> None:
        """What happens now may end any call that is under way so."""
        for call in self.under_way():
            call.excused |= set(errors)

    def lose_connections(self) -> None:
        """What happens now makes calls come again: those that must not run twice may end for that."""
        for call in self.under_way():
            if call.only_once is not None:
                call.excused.add(OutcomeUnknown)
        self.aftermath = inf if self.lasting else time.monotonic() + AFTERMATH

    def last(self) -> None:
        """What happens now lasts until it is healed, and nothing comes through that would tell of lost connections."""
        if not self.lasting:
            self.troubles.append(Trouble(time.monotonic()))
        if time.monotonic() < self.aftermath:
            self.aftermath = inf

    def is_healed(self) -> None:
        """What lasted is over."""
        if self.lasting:
            self.troubles[-1].ended = time.monotonic()
        if self.aftermath == inf:
            self.aftermath = time.monotonic() + AFTERMATH

    # ---- calls

    @rule()
    def echo(self) -> None:
        sent = [self.world.number(), "x" * 100, (1.5, None)]
        self.begin("echo", sent, value=sent)

    @rule()
    def many_at_once(self) -> None:
        for _ in range(20):
            number = self.world.number()
            self.begin("echo", number, value=number)

    @rule(n=st.integers(0, 3000))
    def compute(self, n: int) -> None:
        self.begin("fib", n, value=fib(n))

    @rule(milliseconds=st.integers(0, 200))
    def take_a_while(self, milliseconds: int) -> None:
        self.begin("nap", milliseconds / 1000, value=milliseconds / 1000)

    @rule()
    def run_only_once(self) -> None:
        number = self.world.number()
        self.begin("trace_once", self.world.trace, number, value=number, only_once=number)

    @rule()
    def run_only_once_slowly(self) -> None:
        number = self.world.number()
        self.begin("write_once_then_sleep", self.world.trace, f"{number} -", 0.2, value=f"{number} -", only_once=number)

    @rule()
    def raise_something(self) -> None:
        self.begin("raise_error", "no", value=Never, excused={FunctionRaised})

    @rule()
    def wait_too_short_a_time(self) -> None:
        self.begin("nap", 0.6, value=Never, timeout=0.2, excused={RpcTimeout})

    @rule()
    def call_and_wait(self) -> None:
        if not self.lasting:
            number = self.world.number()
            self.begin("echo", number, value=number)
            self.calls[-1].future.exception(TIMEOUT + LATE + SLACK)

    @rule(choice=choices)
    def cancel(self, choice: int) -> None:
        calls = self.under_way()
        if calls:
            call = calls[choice % len(calls)]
            if call.future.cancel():
                call.excused.add(CancelledError)

    @rule()
    def collect(self) -> None:
        done = [call for call in self.calls if call.future.done()]
        for call in done:
            call.check(self.troubles)
        self.calls = [call for call in self.calls if call not in done]

    # ---- faults

    @precondition(lambda self: self.kills < MOST_KILLS)
    @rule(choice=choices)
    def kill_a_worker(self, choice: int) -> None:
        self.kills += 1
        self.excuse(WorkerLost)
        self.world.signal_worker(choice, signal.SIGKILL)

    @rule(choice=choices)
    def stop_a_worker(self, choice: int) -> None:
        self.last()
        self.world.signal_worker(choice, signal.SIGSTOP)

    @precondition(lambda self: not self.world.is_short_of_a_server and self.kills < MOST_KILLS)
    @rule()
    def kill_a_server(self) -> None:
        self.kills += 1
        self.lose_connections()
        self.world.kill_server()

    @precondition(lambda self: self.world.is_short_of_a_server)
    @rule()
    def start_a_server(self) -> None:
        self.world.heal()  # a server that starts while nothing comes through gives up, and is right to
        self.world.start_servers()
        self.is_healed()

    @rule()
    def cut_the_clients_connection(self) -> None:
        self.lose_connections()
        for call in self.under_way():
            call.connections_lost += 1
            if call.connections_lost >= MOST_SENT:
                call.excused.add(ConnectionLost)
        self.world.client_network.reset_all()

    @rule()
    def cut_the_servers_connections(self) -> None:
        self.lose_connections()
        self.world.server_network.reset_all()

    @rule(ways=directions)
    def stall_the_client(self, ways: tuple[Direction, ...]) -> None:
        self.last()
        self.world.client_network.stall(*ways)

    @rule(ways=directions)
    def stall_the_servers(self, ways: tuple[Direction, ...]) -> None:
        self.last()
        self.world.server_network.stall(*ways)

    @precondition(lambda self: self.lasting)
    @rule()
    def heal(self) -> None:
        self.world.heal()
        self.is_healed()
        self.soon_all_is_well()

    # ---- what always holds

    def soon_all_is_well(self) -> None:
        number = self.world.number()
        assert self.world.client.call("echo", number, timeout=RECOVERY + SLACK) == number

    @invariant()
    def nothing_is_pending_but_calls_under_way(self) -> None:
        wait_until(lambda: self.world.client.pending <= len(self.under_way()), within=LATE + SLACK)

    @invariant()
    def no_call_runs_again_that_must_not(self) -> None:
        starts = self.world.starts()
        for call in self.calls:
            if call.only_once is not None:
                assert starts[call.only_once] <= 1, f"{call} began {starts[call.only_once]} times"

    def teardown(self) -> None:
        """Everything comes to an end, and all is well again."""
        self.world.put_in_order()
        self.is_healed()
        for call in self.calls:
            left = call.deadline - time.monotonic()
            wait_until(call.future.done, within=max(0.0, left) + LATE + SLACK)
        self.soon_all_is_well()
        self.collect()
        self.nothing_is_pending_but_calls_under_way()
        for output in self.world.outputs():
            assert "Traceback" not in output, output


class Never:
    """The value of calls that have none."""


@pytest.fixture
def world(broker: PrivateBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(broker, tmp_path_factory.mktemp("world")) as world:
        yield world


def test_every_call_comes_to_what_it_may_whatever_happens(world: World) -> None:
    run_state_machine_as_test(
        lambda: Model(world),
        settings=settings(
            max_examples=EXAMPLES or 6,
            stateful_step_count=20,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],  # an example takes seconds: nobody waits for a shorter one
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        ),
    )
