"""The comparison with the peers: from single runs to the table that people will quote."""

from __future__ import annotations

from typing import Any

import pytest

from bench.peers.modes import MODES, Mode
from bench.peers.table import OURS, Row, Run, Spread, rows_of, table_of

SYNC, WITH_WORK = MODES["a"], MODES["e"]


def run(peer: str, round_: int, rate: float, *, kind: str = "peer", mode: Mode = SYNC, **more: Any) -> Run:
    return Run(peer=peer, kind=kind, mode=mode.key, round=round_, calls=int(rate * 2), seconds=2.0, **more)


def failed(peer: str, round_: int, reason: str, *, kind: str = "peer") -> Run:
    return Run(peer=peer, kind=kind, mode=SYNC.key, round=round_, failure=reason)


def row(rows: list[Row], peer: str) -> Row:
    return next(row for row in rows if row.peer == peer)


def line(text: str, beginning: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(beginning))


def test_a_rate_is_the_median_of_the_rounds_with_the_least_and_the_most() -> None:
    rows = rows_of(SYNC, [run("them", 1, 900), run("them", 2, 400), run("them", 3, 1000)])

    assert row(rows, "them").rate == Spread(900, 400, 1000)


def test_a_ratio_is_taken_within_a_round_so_a_slow_moment_of_the_machine_does_not_move_it() -> None:
    runs = [run(OURS, 1, 2000, kind="ours"), run("them", 1, 1000)]
    runs += [run(OURS, 2, 500, kind="ours"), run("them", 2, 250)]
    runs += [run(OURS, 3, 1800, kind="ours"), run("them", 3, 1000)]

    assert row(rows_of(SYNC, runs), "them").ours == Spread(2.0, 1.8, 2.0)


def test_what_part_of_the_limit_a_peer_reaches_is_a_ratio_to_the_first_limit() -> None:
    runs = [run("them", 1, 1000), run("limit", 1, 4000, kind="limit"), run("another limit", 1, 8000, kind="limit")]

    rows = rows_of(SYNC, runs)

    assert row(rows, "them").limit == Spread(0.25, 0.25, 0.25)
    assert row(rows, "another limit").limit == Spread(2.0, 2.0, 2.0)


def test_cpu_is_shown_in_microseconds_of_a_call() -> None:
    runs = [run("them", 1, 500, client_cpu=0.05, server_cpu=0.2, broker_cpu=0.1)]

    them = row(rows_of(SYNC, runs), "them")

    assert (them.client, them.server, them.broker) == pytest.approx((50.0, 200.0, 100.0))


def test_a_peer_that_never_ran_stays_in_the_table_with_its_reason() -> None:
    runs = [run(OURS, 1, 2000, kind="ours"), failed("them", 1, "its server ended: no such module")]

    rows = rows_of(SYNC, runs)

    assert row(rows, "them").rate is None
    assert line(table_of(SYNC, rows), "them") == "them: not measured: its server ended: no such module"


def test_a_round_that_failed_is_told_and_the_others_count() -> None:
    runs = [run("them", 1, 1000), failed("them", 2, "its client ended: killed"), run("them", 3, 1200)]
    runs += [run(OURS, round_, 2400, kind="ours") for round_ in (1, 2, 3)]

    rows = rows_of(SYNC, runs)
    text = table_of(SYNC, rows)

    assert row(rows, "them").rate == Spread(1100, 1000, 1200)
    assert row(rows, "them").ours == Spread(2.2, 2.0, 2.4)
    assert line(text, "them:") == "them: only 2 measured: its client ended: killed"
    assert "2.20 (2.00 - 2.40)" in line(text, "them ")


def test_rows_of_other_modes_do_not_mix_in() -> None:
    rows = rows_of(SYNC, [run("them", 1, 1000), run("them", 1, 5, mode=WITH_WORK), run("others", 1, 5, mode=WITH_WORK)])

    assert [row.peer for row in rows] == ["them"]
    assert row(rows, "them").rate == Spread(1000, 1000, 1000)


def test_ours_is_summed_up_against_the_best_peer_the_best_local_pool_and_the_limit() -> None:
    runs = [run(OURS, 1, 3000, kind="ours"), run("slow", 1, 500), run("quick", 1, 1000)]
    runs += [run("pool", 1, 6000, kind="local"), run("limit", 1, 12000, kind="limit")]
    runs += [run("the function itself", 1, 90000, kind="work")]

    text = table_of(SYNC, rows_of(SYNC, runs))

    assert [line for line in text.splitlines() if line.startswith("ours:")] == [
        "ours: 3.00 (3.00 - 3.00) times the best peer, quick",
        "ours: 0.50 (0.50 - 0.50) times the best local pool, pool",
        "ours: 0.25 (0.25 - 0.25) times the limit",
    ]


def test_an_earlier_revision_is_compared_with_the_same_of_today() -> None:
    runs = [run(OURS, 1, 3000, kind="ours"), run("ours at v1", 1, 2000, kind="earlier")]
    runs += [run("ours unpacked", 1, 500, kind="ours")]
    runs += [run("ours unpacked at v1", 1, 400, kind="earlier", today="ours unpacked")]

    text = table_of(SYNC, rows_of(SYNC, runs))

    assert [line for line in text.splitlines() if line.startswith("ours") and " times " in line] == [
        "ours: 1.50 (1.50 - 1.50) times ours at v1",
        "ours unpacked: 1.25 (1.25 - 1.25) times ours unpacked at v1",
    ]


@pytest.mark.parametrize(
    ("rounds", "interval"),
    # The ranks are those of the table for the sign test: the 95 % interval of 16 values is the 4th to the 13th.
    [(5, None), (6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (16, (4, 13)), (20, (6, 15))],
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(rounds: int, interval: tuple[int, int] | None) -> None:
    spread = Spread.of(float(number) for number in range(rounds, 0, -1))

    assert spread is not None
    assert spread.interval == interval


def test_against_an_earlier_revision_the_interval_is_told_where_there_are_rounds_enough() -> None:
    runs = [run(OURS, round_, 1000 + 10 * round_, kind="ours") for round_ in range(1, 17)]
    runs += [run("ours at v1", round_, 1000, kind="earlier") for round_ in range(1, 17)]

    text = table_of(SYNC, rows_of(SYNC, runs))

    assert (
        line(text, "ours: ") == "ours: 1.08 (1.01 - 1.16) times ours at v1; 95 % interval of the median 1.040 - 1.130"
    )


def test_without_a_measurement_of_ours_nothing_is_claimed() -> None:
    runs = [failed(OURS, 1, "its server ended", kind="ours"), run("them", 1, 500), run("limit", 1, 900, kind="limit")]

    text = table_of(SYNC, rows_of(SYNC, runs))

    assert "times the" not in text
    assert line(text, "ours:") == "ours: not measured: its server ended"


def test_where_the_function_takes_its_time_the_cost_over_it_is_shown() -> None:
    rows = rows_of(WITH_WORK, [run("them", 1, 80, mode=WITH_WORK)])

    text = table_of(WITH_WORK, rows)

    assert "over the work" in text
    assert "+25.0 %" in line(text, "them")
    assert "over the work" not in table_of(SYNC, rows)


def test_the_columns_stand_below_their_headings() -> None:
    runs = [run(OURS, 1, 3000, kind="ours"), run("a peer with a long name", 1, 123456)]

    lines = table_of(SYNC, rows_of(SYNC, runs)).splitlines()

    heading, ours, them = lines[2:5]
    end = heading.index("calls/s") + len("calls/s")
    assert ours[:end].endswith(" 3,000")
    assert them[:end].endswith(" 123,456")
