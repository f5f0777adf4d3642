"""What came out of a run, and its JSON form (described in docs/bench.md).

Figures about calls follow the calls that were meant to start in the window; throughput and CPU follow the window.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .latency import LatencySummary
from .load import Load, size_label
from .tally import Total

FORM = "rpcsvc-bench/1"
"""Names the JSON form. The number changes when a field changes its meaning or goes."""


@dataclass(frozen=True, slots=True)
class RoleUsage:
    """What the processes of a role used.

    Attributes:
        processes: how many there were when the window ended.
        cpu: seconds of CPU time in the window.
        rss, uss: bytes of memory when it ended, of all together; uss is None where it may not be read.
    """

    processes: int
    cpu: float
    rss: int
    uss: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """One measurement.

    Attributes:
        load: what was sent.
        workers, prefetch: the pool's, where they are known.
        seconds: the length of the window; less than the load's duration if the run was interrupted.
        interrupted: whether somebody ended it early.
        total: the counts.
        latency: of the calls that succeeded.
        slot: seconds of one slot of the timelines in `total`, which begin with the warm-up.
        roles: by role; what cannot be seen from here is missing.
    """

    load: Load
    workers: int | None
    prefetch: int | None
    seconds: float
    interrupted: bool
    total: Total
    latency: LatencySummary
    slot: float
    roles: Mapping[str, RoleUsage] = field(default_factory=dict)

    @property
    def throughput(self) -> float:
        """Results per second that came in the window."""
        return self.total.results_in_window / self.seconds if self.seconds > 0 else 0.0

    @property
    def error_rate(self) -> float:
        """Errors per second that came in the window."""
        return self.total.errors_in_window / self.seconds if self.seconds > 0 else 0.0

    @property
    def timeline(self) -> tuple[tuple[float, float, float], ...]:
        """(end of the slot in seconds from the start of the window, results per second, errors per second)."""
        slots = int((self.load.warm_up + self.seconds) / self.slot + 1e-9)
        rows = zip(self.total.results_by_slot[:slots], self.total.errors_by_slot[:slots], strict=True)
        return tuple(
            ((number + 1) * self.slot - self.load.warm_up, good / self.slot, bad / self.slot)
            for number, (good, bad) in enumerate(rows)
        )

    def cpu_per_call(self, role: str) -> float | None:
        """Microseconds of CPU time that a role spent for each call that ended in the window."""
        ended = self.total.results_in_window + self.total.errors_in_window
        return self.roles[role].cpu * 1e6 / ended if role in self.roles and ended else None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures has to know."""
        total, found = self.total, []
        if self.interrupted:
            found.append(f"interrupted after {self.seconds:.1f} s of the window")
        if total.never_sent:
            found.append(
                f"{total.never_sent:,} of {total.wanted:,} calls were never sent: the load was more than could be sent "
                "or kept under way, and the percentiles are those of the others"
            )
        if self.load.is_open and total.late > total.sent // 100:
            found.append(
                f"{total.late:,} of {total.sent:,} calls were sent more than 1 ms late (at most "
                f"{total.largest_delay * 1000:,.1f} ms); their latency counts from when they should have been"
            )
        if total.failed:
            found.append(f"{total.failed:,} of {total.sent:,} calls ended with an error; percentiles are of the others")
        if total.unfinished:
            found.append(f"{total.unfinished:,} calls were given up before they ended")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        total, latency = self.total, self.latency
        return {
            "load": self.load.to_json() | {"title": self.load.title, "shape": self.load.shape},
            "pool": {"workers": self.workers, "prefetch": self.prefetch},
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "calls": {
                "wanted": total.wanted,
                "sent": total.sent,
                "succeeded": total.succeeded,
                "failed": total.failed,
                "unfinished": total.unfinished,
                "never_sent": total.never_sent,
                "late": total.late,
                "largest_delay_us": total.largest_delay * 1e6,
            },
            "errors": total.errors,
            "throughput": self.throughput,
            "errors_per_second": self.error_rate,
            "latency_us": {
                "count": latency.count,
                "mean": latency.mean,
                "min": latency.least,
                **{f"p{percentile:g}": value for percentile, value in latency.percentiles},
                "max": latency.most,
                "curve": latency.curve,
                "histogram": total.latencies.encode(),
            },
            "timeline": [dict(zip(("at", "results", "errors"), row, strict=True)) for row in self.timeline],
            "roles": {
                role: {
                    "processes": usage.processes,
                    "cpu_us_per_call": self.cpu_per_call(role),
                    "cpus": usage.cpu / self.seconds if self.seconds > 0 else 0.0,
                    "rss_bytes": usage.rss,
                    "uss_bytes": usage.uss,
                }
                for role, usage in self.roles.items()
            },
            "warnings": self.warnings,
        }


@dataclass(frozen=True, slots=True)
class SweepResult:
    """Runs that differ in one thing.

    Attributes:
        name: what that is: workers, in-flight or payload.
        points: (its value, the run), in the order they ran.
    """

    name: str
    points: tuple[tuple[int, RunResult], ...]

    @property
    def noun(self) -> str:
        """The thing that changes, in words."""
        return {"workers": "worker processes", "in-flight": "calls in flight per thread"}.get(self.name, "payload size")

    def label(self, value: int) -> str:
        """A value as it is written."""
        return size_label(value) if self.name == "payload" else f"{value:,}"

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"name": self.name, "points": [{"value": value, "run": run.to_json()} for value, run in self.points]}


@dataclass(frozen=True, slots=True)
class BenchResult:
    """All that one command measured.

    Attributes:
        facts: where and when: name and text, for instance "Python": "3.13.1".
        run: the measurement of the load as it was given.
        sweeps: what was measured besides.
        interrupted: whether somebody ended it early.
        failures: why sweeps are not complete, a sentence for each that is not.
    """

    facts: Mapping[str, str]
    run: RunResult
    sweeps: tuple[SweepResult, ...] = ()
    interrupted: bool = False
    failures: tuple[str, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures has to know."""
        return (*self.run.warnings, *(f"a sweep is not complete: {failure}" for failure in self.failures))

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "form": FORM,
            "facts": dict(self.facts),
            "interrupted": self.interrupted,
            "failures": list(self.failures),
            "run": self.run.to_json(),
            "sweeps": [sweep.to_json() for sweep in self.sweeps],
        }
