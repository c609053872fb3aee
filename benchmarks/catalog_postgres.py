"""The benchmarks on PostgreSQL. Nothing of PostgreSQL is imported before one of them is opened."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.benchmark import Benchmark
from benchmarks.flows.append import Append
from benchmarks.flows.claim import FINISHED as CLAIM_FINISHED
from benchmarks.flows.claim import FINISHED_QUICK as CLAIM_FINISHED_QUICK
from benchmarks.flows.claim import GrownClaim
from benchmarks.flows.commands import Commands
from benchmarks.flows.effects import Send
from benchmarks.flows.effects_http import SendHttp
from benchmarks.flows.latency import Latency
from benchmarks.flows.ledger_page import FINISHED, FINISHED_QUICK, LedgerPage
from benchmarks.flows.load import Load
from benchmarks.flows.log_read import GROWN, GROWN_QUICK, GrownLog, LogRead
from benchmarks.flows.one_key import OneKey
from benchmarks.flows.project import Project
from benchmarks.flows.project_latency import ProjectLatency
from benchmarks.flows.rebuild import Rebuild
from benchmarks.flows.relay import Drain
from benchmarks.flows.scale import Scale, ScaleSizes
from benchmarks.flows.subscribers import Subscribers
from benchmarks.flows.workers import TwoWorkers
from benchmarks.measured import Stopwatch
from benchmarks.places.filling import fill_postgres
from benchmarks.places.place import Place
from benchmarks.scaling import Scaling
from benchmarks.sizes import Sizes
from benchmarks.targets import at_least, at_most, within


def postgres_benchmarks(sizes: Sizes, place: Place) -> list[Benchmark]:
    """All of them, in the order of the report."""
    return [
        *(
            Commands(
                key=f"commands_pg_c{in_flight}",
                operations=sizes.of(quick=quick, full=full),
                place=place,
                in_flight=in_flight,
                bare=_bare,
                same=_same_rows,
                target=at_least(bare),
                same_target=at_least(0.7),
            )
            for in_flight, bare, quick, full in ((1, 0.4, 600, 5_000), (32, 0.9, 2_000, 20_000))
        ),
        *(
            Append(
                key=key,
                operations=sizes.of(quick=2_000, full=20_000),
                place=place,
                events=events,
                bare=_append_bare,
                same=_append_same,
                target=at_least(0.6),
            )
            for key, events in (("append_pg", 1), ("append_pg_10", 10))
        ),
        Load(
            key="load100_pg",
            operations=sizes.of(quick=500, full=4_000),
            place=place,
            load_floor=_load,
            target=at_least(0.4),
        ),
        Drain(
            key="relay_pg_w1",
            operations=sizes.of(quick=2_000, full=10_000),
            place=place,
            fill_floor=_fill_outbox,
            drain_floor=_drain,
            target=at_least(0.35),
        ),
        TwoWorkers(
            key="relay_pg_w2",
            operations=sizes.of(quick=800, full=8_000),
            place=place,
            target=at_least(1.7),
        ),
        OneKey(
            key="relay_one_key_pg",
            operations=sizes.of(quick=600, full=5_000),
            place=place,
            fill_floor=_fill_one_key,
            drain_floor=_drain_one_key,
            target=at_least(0.5),
        ),
        Send(
            key="effects_pg",
            operations=sizes.of(quick=1_000, full=10_000),
            place=place,
            fill_floor=_fill_ledger,
            send_floor=_send,
            target=at_least(3),
        ),
        SendHttp(
            key="effects_http_pg",
            operations=sizes.of(quick=500, full=4_000),
            place=place,
            target=at_least(0.7),
        ),
        Latency(
            key="latency_pg",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            apart=True,
            floor_way=_notified,
            target=at_most(3),
        ),
        Project(
            key="project_pg",
            operations=sizes.of(quick=10_000, full=50_000),
            place=place,
            fill_floor=_fill_events,
            project_floor=_project,
            target=at_least(0.5),
        ),
        Rebuild(
            key="rebuild_pg",
            operations=1,
            events=sizes.of(quick=20_000, full=1_000_000),
            place=place,
            fill_floor=_fill_events,
            rebuild_floor=_rebuild,
            target=at_least(0.5),
        ),
        LogRead(
            key="log_read_pg",
            operations=sizes.of(quick=20_000, full=100_000),
            place=place,
            fill_floor=_fill_log,
            fill_ours=_fill_our_log,
            read_floor=_read_log,
            target=at_least(0.5),
        ),
        GrownLog(
            key="growth_log_read_pg",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            events=sizes.grown(quick=GROWN_QUICK, full=GROWN),
            fill_ours=_fill_our_log,
            target=at_least(0.8),
        ),
        ProjectLatency(
            key="project_latency_pg",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            floor_way=_notified,
            target=within(50, "ms"),
        ),
        GrownClaim(
            key="growth_claim_pg",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            finished=sizes.grown(quick=CLAIM_FINISHED_QUICK, full=CLAIM_FINISHED),
            fill_messages=_fill_our_log,
            fill_effects=fill_postgres,
            target=at_least(0.8),
        ),
        Subscribers(
            key="growth_subscribers_pg",
            operations=sizes.of(quick=150, full=3_000),
            place=place,
            announce_floor=_announce,
            target=at_least(0.4),
        ),
        LedgerPage(
            key="growth_ledger_page_pg",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            finished=sizes.grown(quick=FINISHED_QUICK, full=FINISHED),
            fill=fill_postgres,
            target=at_least(0.8),
        ),
    ]


def postgres_scalings(sizes: Sizes, place: Place) -> list[Scaling]:
    """What is measured without a floor."""
    grown = sizes.grown(quick=10_000, full=1_000_000)
    commands = sizes.of(quick=200, full=1_000)
    scale = ScaleSizes(
        orders=grown,
        tenants=max(1, grown // 100),
        commands=commands,
        messages=commands * 10,
        seconds=0.5 if sizes.quick else 3.0,
        processes=(1, 2, 4),
    )
    return [Scale(key="scale_pg", place=place, fill=_execute_all, sizes=scale)]


def _execute_all(url: str, statements: Sequence[str]) -> None:
    from benchmarks.places.filling import execute_all

    execute_all(url, statements)


def _bare(url: str, operations: int, in_flight: int) -> Stopwatch:
    from benchmarks.floors import postgres_commands

    return postgres_commands.bare(url, operations, in_flight)


def _same_rows(url: str, operations: int, in_flight: int) -> Stopwatch:
    from benchmarks.floors import postgres_commands

    return postgres_commands.same_rows(url, operations, in_flight)


def _append_bare(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    from benchmarks.floors import postgres_events

    return postgres_events.bare(url, appends, events, in_flight)


def _append_same(url: str, appends: int, events: int, in_flight: int) -> Stopwatch:
    from benchmarks.floors import postgres_events

    return postgres_events.same_rows(url, appends, events, in_flight)


def _load(url: str, streams: int, events: int, operations: int) -> tuple[Stopwatch, int]:
    from benchmarks.floors import postgres_events

    return postgres_events.load(url, streams, events, operations)


def _fill_outbox(url: str, rows: int) -> None:
    from benchmarks.floors import postgres_relay

    postgres_relay.fill(url, rows)


def _drain(url: str) -> tuple[Stopwatch, int]:
    from benchmarks.floors import postgres_relay

    return postgres_relay.drain(url)


def _fill_one_key(url: str, rows: int) -> None:
    from benchmarks.floors import postgres_one_key

    postgres_one_key.fill(url, rows)


def _drain_one_key(url: str) -> tuple[Stopwatch, int]:
    from benchmarks.floors import postgres_one_key

    return postgres_one_key.drain(url)


def _announce(url: str, cycles: int) -> tuple[Stopwatch, list[float]]:
    from benchmarks.floors import postgres_subscribers

    return postgres_subscribers.announce(url, cycles)


def _fill_events(url: str, events: int) -> None:
    from benchmarks.floors import postgres_project

    postgres_project.fill(url, events)


def _project(url: str) -> Stopwatch:
    from benchmarks.floors import postgres_project

    return postgres_project.project(url)


def _rebuild(url: str) -> Stopwatch:
    from benchmarks.floors import postgres_rebuild

    return postgres_rebuild.rebuild(url)


def _fill_log(url: str, events: int) -> None:
    from benchmarks.floors import postgres_log

    postgres_log.fill(url, events)


def _fill_our_log(url: str, events: int) -> None:
    from benchmarks.floors import postgres_log

    postgres_log.fill_ours(url, events)


def _read_log(url: str) -> tuple[Stopwatch, int]:
    from benchmarks.floors import postgres_log

    return postgres_log.read(url)


def _fill_ledger(url: str, rows: int) -> None:
    from benchmarks.floors import postgres_effects

    postgres_effects.fill(url, rows)


def _send(url: str) -> Stopwatch:
    from benchmarks.floors import postgres_effects

    return postgres_effects.send(url)


def _notified(url: str, operations: int, interval: float) -> tuple[Stopwatch, list[float]]:
    from benchmarks.floors import postgres_latency

    return postgres_latency.notified(url, operations, interval)
