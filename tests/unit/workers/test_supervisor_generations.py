"""Workers of a registry that is reloaded: one generation after the other."""

from __future__ import annotations

from lives import Stage, states

from rpcsvc.workers.generations import MAX_FAILED_GENERATIONS, Generation
from rpcsvc.workers.restarts import MAX_FAILED_STARTS
from rpcsvc.workers.supervisor import Event, Life, State
from rpcsvc.workers.work import WorkerExit


def reloading(stage: Stage) -> tuple[Generation[Life], Generation[Life]]:
    old = stage.serving()
    new = stage.generations.to_come = stage.new()
    stage.generations.fill(new)
    return old, new


def test_a_generation_to_come_stands_by_until_it_takes_over_and_the_old_one_ends() -> None:
    stage = Stage(2)
    old, new = reloading(stage)
    busy, idle = old.workers.values()
    stage.supervisor.happened(busy, Event.GIVEN)
    stage.told.clear()
    stage.start(new)
    assert stage.told == [("complete", new)]
    assert (states(new), list(stage.generations)) == (["standby", "standby"], [busy, idle])

    stage.generations.take_over()

    assert (states(old), states(new)) == (["finishing", "ending"], ["idle", "idle"])
    assert stage.generations.all == [old, new]
    idle.exit = WorkerExit(1, 0, None)
    stage.supervisor.happened(idle, Event.EXITED)
    assert ("empty", old) not in stage.told
    stage.die(busy)
    assert stage.told[-1] == ("empty", old)
    assert (stage.generations.all, stage.generations.lost) == ([new], 1)


def test_a_worker_that_is_still_being_made_when_its_generation_retires_is_not_waited_for() -> None:
    stage = Stage(1)
    old, new = reloading(stage)
    stage.die(old.workers[0])
    stage.start(new)
    stage.generations.take_over()
    assert states(old) == ["ending"]
    stage.supervisor.happened(old.workers[0], Event.UNBORN)
    assert ("empty", old) in stage.told


def test_a_generation_without_workers_is_ended_at_once_when_another_takes_over() -> None:
    stage = Stage(1)
    old, new = reloading(stage)
    old.workers.clear()
    stage.start(new)
    stage.generations.take_over()
    assert ("empty", old) in stage.told


def test_a_generation_takes_over_where_none_serves() -> None:
    stage = Stage(1)
    _, new = reloading(stage)
    stage.generations.current = None
    stage.start(new)
    stage.generations.take_over()
    assert (stage.generations.current, stage.generations.retired) == (new, [])


def test_a_storm_in_a_retired_generation_stops_nobody() -> None:
    stage = Stage(2, max_restarts=0)
    old, new = reloading(stage)
    for worker in old.workers.values():
        stage.supervisor.happened(worker, Event.GIVEN)
    stage.start(new)
    stage.generations.take_over()
    for worker in list(old.workers.values()):
        stage.die(worker)
    assert "give up" not in stage.names()
    assert states(new) == ["idle", "idle"]


def test_a_generation_to_come_that_cannot_be_kept_running_is_given_up_and_not_the_pool() -> None:
    stage = Stage(1)
    _, new = reloading(stage)
    stage.generations.fork_server_lost(new)
    assert stage.told[-1] == ("give up", "the fork server has ended")
    assert not stage.generations.is_over
    new = stage.generations.to_come = stage.new()
    stage.generations.fill(new)
    for _ in range(MAX_FAILED_STARTS):
        stage.die(next(iter(new.workers.values())))
    assert stage.told[-1][0] == "give up"
    assert not stage.generations.is_over


def test_a_fork_server_that_ends_takes_its_workers_along_and_another_is_started() -> None:
    stage = Stage(2)
    generation = stage.serving()
    orphans = list(generation.workers.values())
    stage.generations.fork_server_lost(generation)
    assert {worker.state for worker in orphans} == {State.GONE}
    assert stage.told[-2:] == [("end work", orphans, False), ("begin anew",)]
    assert stage.generations.current is None


def test_a_retired_fork_server_that_ends_is_not_missed() -> None:
    stage = Stage(1)
    old, new = reloading(stage)
    stage.supervisor.happened(old.workers[0], Event.GIVEN)
    stage.start(new)
    stage.generations.take_over()
    stage.generations.fork_server_lost(old)
    assert stage.told[-1][0] == "end work"
    assert stage.generations.all == [new]


def test_fork_servers_that_end_before_one_worker_was_ready_end_the_pool() -> None:
    stage = Stage(1)
    for attempt in range(MAX_FAILED_GENERATIONS):
        assert stage.names().count("begin anew") == attempt
        generation = stage.generations.current = stage.new()
        stage.generations.fill(generation)
        stage.generations.fork_server_lost(generation)
    assert stage.told[-1] == ("give up", "3 fork servers in a row ended before one worker was ready")
