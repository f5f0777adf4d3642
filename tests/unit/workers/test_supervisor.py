"""A worker's life by its table, and how many workers there are: without a process, a socket or a clock."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from lives import Stage, states

from rpcsvc.workers.restarts import MAX_FAILED_STARTS
from rpcsvc.workers.supervisor import TABLE, Cause, Event, Kill, Life, Order, State, Supervisor
from rpcsvc.workers.work import MemoryUse, WorkerExit

ALIVE = [state for state in State if state not in (State.EXITED, State.GONE)]


# ---- the table


def alone(state: State) -> tuple[Supervisor[Life], Life, list[tuple[str, Any]]]:
    """A worker in a state, and what is ordered about it."""
    done: list[tuple[str, Any]] = []
    orders = {order: lambda _, order=order: done.append(("do", order)) for order in Order}
    supervisor = Supervisor[Life](orders, 3.0)
    worker = Life(None, 0)
    worker.expect = lambda within: done.append(("expect", within))  # type: ignore[method-assign]
    worker.state = state
    return supervisor, worker, done


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_a_state_and_an_event_give_what_the_table_says_or_nothing(state: State, event: Event) -> None:
    supervisor, worker, done = alone(state)
    following, orders = TABLE.get((state, event), (state, ()))

    supervisor.happened(worker, event)

    assert worker.state is following
    assert [what for how, what in done if how == "do"] == list(orders)


def test_every_state_but_the_first_is_reached_and_every_one_but_the_last_is_left() -> None:
    assert {following for following, _ in TABLE.values()} == set(State)
    assert {state for state, _ in TABLE} == set(State) - {State.GONE}
    assert {order for _, orders in TABLE.values() for order in orders} == set(Order)


@pytest.mark.parametrize("state", ALIVE)
def test_a_worker_whose_end_is_told_is_gone_when_its_socket_is_closed_in_whichever_order(state: State) -> None:
    for events in itertools.permutations((Event.MADE, Event.EXITED, Event.DISCONNECTED)):
        supervisor, worker, done = alone(state)
        if state in (State.SPAWNING, State.UNTOLD) and events.index(Event.MADE) > events.index(Event.EXITED):
            continue  # the fork server tells of the birth before the death
        for event in events:
            supervisor.happened(worker, event)
        assert worker.state is State.GONE
        assert sum(what in (Order.BURY, Order.LOSE) for _, what in done) == 1


@pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
def test_no_worker_outlives_its_fork_server(state: State) -> None:
    supervisor, worker, _ = alone(state)
    supervisor.happened(worker, Event.ORPHANED)
    assert worker.state is State.GONE


@pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
def test_whoever_leaves_the_idle_ones_is_withdrawn_and_nobody_else(state: State) -> None:
    for event in Event:
        following, orders = TABLE.get((state, event), (state, ()))
        leaves = state is State.IDLE and following not in (State.IDLE, State.BUSY)
        assert (Order.WITHDRAW in orders) is leaves
        assert (Order.OFFER in orders) is (following is State.IDLE and state is not State.IDLE)


@pytest.mark.parametrize(
    ("state", "event", "within"),
    [
        (State.SPAWNING, Event.MADE, 3.0),
        (State.STARTING, Event.READY, None),
        (State.IDLE, Event.RETIRED, 5.0),
        (State.BUSY, Event.CONDEMNED, 3.0),
        (State.BUSY, Event.EXITED, 0.25),
        (State.EXITED, Event.DISCONNECTED, None),
    ],
)
def test_a_state_says_how_long_a_worker_may_be_in_it(state: State, event: Event, within: float | None) -> None:
    supervisor, worker, done = alone(state)
    supervisor.happened(worker, event)
    assert [what for how, what in done if how == "expect"] == [within]


def test_nothing_is_expected_of_a_worker_that_computes() -> None:
    supervisor, worker, done = alone(State.IDLE)
    supervisor.happened(worker, Event.GIVEN)
    assert worker.state is State.BUSY
    supervisor.happened(worker, Event.ANSWERED)
    assert done == [("do", Order.OFFER)]


def test_the_first_reason_to_kill_a_worker_counts_and_none_for_one_that_ends_anyway() -> None:
    supervisor, worker, done = alone(State.BUSY)
    first = Kill(Cause.MEMORY, 3, MemoryUse(1, 2))
    supervisor.kill(worker, first)
    supervisor.kill(worker, Kill(Cause.TIME, 3))
    assert worker.kill == first
    assert done.count(("do", Order.KILL)) == 1

    supervisor, worker, done = alone(State.ENDING)
    supervisor.kill(worker, first)
    assert (worker.kill, done) == (None, [])


@pytest.mark.parametrize(
    ("state", "kill"),
    [(State.STARTING, Kill(Cause.START)), (State.ENDING, Kill(Cause.END)), (State.EXITED, None)],
)
def test_a_worker_that_is_late_is_killed_for_what_it_did_not_do(state: State, kill: Kill | None) -> None:
    supervisor, worker, _ = alone(state)
    supervisor.late(worker)
    assert worker.kill == kill


# ---- how many workers there are


def test_workers_are_made_until_there_are_enough_and_offered_when_they_are_ready() -> None:
    stage = Stage(2)
    generation = stage.generations.current = stage.new()
    stage.generations.fill(generation)
    stage.generations.fill(generation)
    assert stage.told == [("spawn", 0), ("spawn", 1)]

    stage.told.clear()
    stage.start(generation)

    assert stage.names() == ["offer", "offer", "complete"]
    assert stage.generations.ready == 2
    assert repr(stage.generations) == "<Generations: 2 ready, 0 lost>"


def test_a_worker_that_dies_gives_its_work_back_and_is_replaced_at_once() -> None:
    stage = Stage(2)
    generation = stage.serving()
    victim = generation.workers[0]

    stage.die(victim)

    assert stage.told == [("withdraw", victim), ("kill", victim), ("end work", [victim], False), ("spawn", 0)]
    assert (stage.generations.lost, stage.generations.ready) == (1, 1)


@pytest.mark.parametrize(("cause", "lost"), [(cause, cause in (Cause.START, Cause.BROKEN)) for cause in Cause])
def test_what_the_pool_itself_ends_does_not_count_as_lost(cause: Cause, lost: bool) -> None:
    stage = Stage(1)
    generation = stage.serving()
    stage.supervisor.happened(generation.workers[0], Event.GIVEN)
    stage.supervisor.kill(generation.workers[0], Kill(cause, 1))
    stage.die(generation.workers[0])
    assert stage.generations.lost == lost
    assert states(generation) == ["spawning"]


def test_a_worker_that_is_worn_goes_when_its_replacement_is_ready() -> None:
    stage = Stage(2)
    generation = stage.serving()
    busy, idle = generation.workers.values()
    stage.supervisor.happened(busy, Event.GIVEN)
    stage.generations.is_worn(busy)
    stage.generations.is_worn(idle)
    assert states(generation) == ["busy", "idle", "spawning", "spawning"]

    stage.start(generation)
    assert states(generation) == ["finishing", "ending", "idle", "idle"]
    stage.supervisor.happened(busy, Event.ANSWERED)
    for worker in (busy, idle):
        worker.exit = WorkerExit(1, 0, None)
        stage.supervisor.happened(worker, Event.EXITED)

    assert states(generation) == ["idle", "idle"]
    assert stage.generations.lost == 0
    assert [each[2] for each in stage.told if each[0] == "end work"] == [True, True]


def test_there_are_never_more_workers_than_places() -> None:
    stage = Stage(1)
    generation = stage.serving()
    stage.generations.is_worn(generation.workers[0])
    for worker in list(generation.workers.values()):
        stage.supervisor.kill(worker, Kill(Cause.CANCEL))
    stage.generations.fill(generation)
    assert states(generation) == ["killed", "killed"]


def test_a_shortage_is_waited_for_once_for_all_workers_that_it_keeps_from_starting() -> None:
    stage = Stage(2)
    generation = stage.generations.current = stage.new()
    stage.generations.fill(generation)
    stage.told.clear()
    for worker in list(generation.workers.values()):
        worker.failure, worker.lacks = "fork: [Errno 11]", True
        stage.supervisor.happened(worker, Event.UNBORN)
    stage.generations.fill(generation)
    assert stage.told == [("fill later", 0.1)]
    assert stage.generations.shortage.why == "fork: [Errno 11]"

    stage.generations.there_may_be_room(generation)
    stage.start(generation)
    assert stage.generations.ready == 2
    assert stage.generations.shortage.why == ""


def test_a_worker_that_lacks_something_in_its_start_is_no_loss_and_one_that_nobody_wants_is_made_anew() -> None:
    stage = Stage(1)
    generation = stage.generations.current = stage.new()
    stage.generations.fill(generation)
    worker = generation.workers[0]
    worker.failure, worker.lacks = "Traceback\nOSError: too little\n", True
    stage.die(worker)
    assert stage.generations.lost == 0
    assert stage.generations.shortage.why == "OSError: too little"

    stage.generations.there_may_be_room(generation)
    stage.supervisor.happened(generation.workers[0], Event.UNBORN)
    assert states(generation) == ["spawning"]


def test_a_fork_server_that_does_not_obey_is_destroyed() -> None:
    stage = Stage(1)
    generation = stage.generations.current = stage.new()
    stage.generations.fill(generation)
    stage.supervisor.late(generation.workers[0])
    assert stage.told[-1] == ("destroy", "has not made a worker within 3 s")
    stage.start(generation)
    stage.supervisor.kill(generation.workers[0], Kill(Cause.TIME, 1))
    stage.supervisor.late(generation.workers[0])
    assert stage.told[-1] == ("destroy", "has not killed a worker within 3 s")


def test_workers_that_never_become_ready_end_the_pool_once() -> None:
    stage = Stage(2)
    generation = stage.generations.current = stage.new()
    stage.generations.fill(generation)
    for _ in range(MAX_FAILED_STARTS + 1):
        if generation.workers:
            stage.die(next(iter(generation.workers.values())))
    ((_, reason),) = [each for each in stage.told if each[0] == "give up"]
    assert reason.startswith("5 workers in a row ended before they were ready")
    assert stage.generations.is_over
    stage.generations.fill(generation)
    assert generation.workers == {}


def test_the_last_workers_of_a_pool_that_has_given_up_still_end_their_work() -> None:
    stage = Stage(3, max_restarts=0)
    generation = stage.serving()
    for worker in list(generation.workers.values()):
        stage.die(worker)
    assert stage.names().count("end work") == 3
    assert stage.names().count("give up") == 1


def test_answers_of_workers_that_are_gone_count_against_a_storm() -> None:
    stage = Stage(1, max_restarts=1)
    generation = stage.serving()
    for _ in range(5):
        generation.workers[0].answered = 10
        stage.die(generation.workers[0])
        stage.start(generation)
    assert "give up" not in stage.names()
