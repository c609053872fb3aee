"""Every benchmark, with its target. Sizes are operations a round; the short form is for `--quick`."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark
from benchmarks.catalog_postgres import postgres_benchmarks, postgres_scalings
from benchmarks.floors import (
    sqlite_commands,
    sqlite_effects,
    sqlite_events,
    sqlite_latency,
    sqlite_log,
    sqlite_one_key,
    sqlite_project,
    sqlite_rebuild,
    sqlite_relay,
    sqlite_subscribers,
)
from benchmarks.flows.append import Append
from benchmarks.flows.claim import FINISHED as CLAIM_FINISHED
from benchmarks.flows.claim import FINISHED_QUICK as CLAIM_FINISHED_QUICK
from benchmarks.flows.claim import GrownClaim
from benchmarks.flows.commands import Commands
from benchmarks.flows.dispatch import Dispatch
from benchmarks.flows.effects import Send
from benchmarks.flows.effects_http import SendHttp
from benchmarks.flows.latency import Latency
from benchmarks.flows.ledger_page import FINISHED, FINISHED_QUICK, LedgerPage
from benchmarks.flows.load import Load
from benchmarks.flows.log_read import GROWN, GROWN_QUICK, GrownLog, LogRead
from benchmarks.flows.one_key import OneKey
from benchmarks.flows.processes import ColdStart, Import
from benchmarks.flows.project import Project
from benchmarks.flows.project_latency import ProjectLatency
from benchmarks.flows.rebuild import Rebuild
from benchmarks.flows.relay import Drain
from benchmarks.flows.subscribers import Subscribers
from benchmarks.places.filling import fill_sqlite
from benchmarks.places.place import Place
from benchmarks.scaling import Scaling
from benchmarks.sizes import Sizes
from benchmarks.targets import at_least, at_most, within


def benchmarks(sizes: Sizes, sqlite: Place, postgres: Place) -> list[Benchmark]:
    """All of them, in the order of the report."""
    return [*_sqlite_benchmarks(sizes, sqlite), *postgres_benchmarks(sizes, postgres), *_others(sizes, sqlite)]


def everything(sizes: Sizes, sqlite: Place, postgres: Place) -> list[Benchmark | Scaling]:
    """All benchmarks, and what is measured without a floor."""
    return [*benchmarks(sizes, sqlite, postgres), *postgres_scalings(sizes, postgres)]


def _sqlite_benchmarks(sizes: Sizes, place: Place) -> list[Benchmark]:
    return [
        *(
            Commands(
                key=f"commands_sqlite_c{in_flight}",
                operations=sizes.of(quick=1_000, full=5_000),
                place=place,
                in_flight=in_flight,
                bare=sqlite_commands.bare,
                same=sqlite_commands.same_rows,
                target=at_least(bare),
                same_target=at_least(same),
            )
            for in_flight, bare, same in ((1, 0.3, 0.7), (32, 0.7, 0.7))
        ),
        *(
            Append(
                key=key,
                operations=sizes.of(quick=2_000, full=20_000),
                place=place,
                events=events,
                bare=sqlite_events.bare,
                same=sqlite_events.same_rows,
                target=at_least(0.5),
            )
            for key, events in (("append_sqlite", 1), ("append_sqlite_10", 10))
        ),
        Load(
            key="load100_sqlite",
            operations=sizes.of(quick=500, full=4_000),
            place=place,
            load_floor=sqlite_events.load,
            target=at_least(0.4),
        ),
        Drain(
            key="relay_sqlite_w1",
            operations=sizes.of(quick=2_000, full=10_000),
            place=place,
            fill_floor=sqlite_relay.fill,
            drain_floor=sqlite_relay.drain,
            target=at_least(0.35),
        ),
        OneKey(
            key="relay_one_key_sqlite",
            operations=sizes.of(quick=600, full=5_000),
            place=place,
            fill_floor=sqlite_one_key.fill,
            drain_floor=sqlite_one_key.drain,
            target=at_least(0.5),
        ),
        Send(
            key="effects_sqlite",
            operations=sizes.of(quick=2_000, full=10_000),
            place=place,
            fill_floor=sqlite_effects.fill,
            send_floor=sqlite_effects.send,
            target=at_least(3),
        ),
        SendHttp(
            key="effects_http_sqlite",
            operations=sizes.of(quick=500, full=4_000),
            place=place,
            target=at_least(0.7),
        ),
        *(
            Latency(
                key=key,
                operations=sizes.of(quick=300, full=2_000),
                place=place,
                apart=apart,
                floor_way=floor,
                target=at_most(3),
            )
            for key, apart, floor in (
                ("latency_sqlite", True, sqlite_latency.polled),
                ("latency_sqlite_one_process", False, sqlite_latency.told),
            )
        ),
        Project(
            key="project_sqlite",
            operations=sizes.of(quick=10_000, full=50_000),
            place=place,
            fill_floor=sqlite_project.fill,
            project_floor=sqlite_project.project,
            target=at_least(0.5),
        ),
        Rebuild(
            key="rebuild_sqlite",
            operations=1,
            events=sizes.of(quick=20_000, full=1_000_000),
            place=place,
            fill_floor=sqlite_project.fill,
            rebuild_floor=sqlite_rebuild.rebuild,
            target=at_least(0.5),
        ),
        LogRead(
            key="log_read_sqlite",
            operations=sizes.of(quick=20_000, full=100_000),
            place=place,
            fill_floor=sqlite_log.fill,
            fill_ours=sqlite_log.fill_ours,
            read_floor=sqlite_log.read,
            target=at_least(0.5),
        ),
        GrownLog(
            key="growth_log_read_sqlite",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            events=sizes.grown(quick=GROWN_QUICK, full=GROWN),
            fill_ours=sqlite_log.fill_ours,
            target=at_least(0.8),
        ),
        ProjectLatency(
            key="project_latency_sqlite",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            floor_way=sqlite_latency.told,
            target=within(50, "ms"),
        ),
        GrownClaim(
            key="growth_claim_sqlite",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            finished=sizes.grown(quick=CLAIM_FINISHED_QUICK, full=CLAIM_FINISHED),
            fill_messages=sqlite_log.fill_ours,
            fill_effects=fill_sqlite,
            target=at_least(0.8),
        ),
        Subscribers(
            key="growth_subscribers_sqlite",
            operations=sizes.of(quick=150, full=3_000),
            place=place,
            announce_floor=sqlite_subscribers.announce,
            target=at_least(0.3),
        ),
        LedgerPage(
            key="growth_ledger_page_sqlite",
            operations=sizes.of(quick=300, full=2_000),
            place=place,
            finished=sizes.grown(quick=FINISHED_QUICK, full=FINISHED),
            fill=fill_sqlite,
            target=at_least(0.8),
        ),
    ]


def _others(sizes: Sizes, sqlite: Place) -> list[Benchmark]:
    return [
        Dispatch(key="dispatch", operations=sizes.of(quick=5_000, full=20_000), target=at_least(0.2)),
        Import(key="import_duly", operations=sizes.of(quick=3, full=5, at_most=5), target=within(100, "ms")),
        ColdStart(
            key="cold_start",
            operations=sizes.of(quick=3, full=5, at_most=5),
            place=sqlite,
            target=within(400, "ms"),
        ),
    ]
