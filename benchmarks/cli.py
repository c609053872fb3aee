"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.benchmark import Benchmark
from benchmarks.catalog import everything
from benchmarks.chart import svg
from benchmarks.peers.entries import KEYS
from benchmarks.peers.environments import Environments
from benchmarks.peers.peers import Peers
from benchmarks.peers.table import COLUMNS as PEER_COLUMNS
from benchmarks.peers.table import is_not_run, peer_rows
from benchmarks.places.postgres import PostgresPlace
from benchmarks.places.sqlite import SqlitePlace
from benchmarks.progress import teller
from benchmarks.report import CHART_NAME, SCALE_NAME, report
from benchmarks.results import Failed, Records, Result, Scaled, merged, read_records, write_records
from benchmarks.run import no_peers, run_all
from benchmarks.scale_chart import scale_svg
from benchmarks.scaling import Scaling
from benchmarks.sizes import Sizes
from benchmarks.table import COLUMNS, curve_columns, curve_rows, rows

FOLDER = Path(__file__).resolve().parent
ROUNDS_QUICK = 7
ROUNDS_FULL = 9
ROUNDS_PEERS = 5
WIDTH_WITHOUT_TERMINAL = 160


def parser() -> argparse.ArgumentParser:
    """What may be said."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure duly against hand-written code.")
    short = "the short form: at most 5 minutes, without growth, rebuilds and scaling, unless they are named"
    made.add_argument("--quick", action="store_true", help=short)
    made.add_argument("--only", metavar="KEY", action="append", default=[], help="only this key; may be repeated")
    made.add_argument("--store", choices=["sqlite", "postgres"], help="only benchmarks on this database")
    made.add_argument("--rounds", metavar="N", type=_positive, help="rounds, at least five for figures to be quoted")
    made.add_argument("--operations", metavar="N", type=_positive, help="operations a round, whatever is usual")
    made.add_argument("--finished", metavar="N", type=_positive, help="finished effects of a ledger that has grown")
    made.add_argument("--json", metavar="FILE", type=Path, help="write the records of this run to FILE")
    made.add_argument("--folder", metavar="DIR", type=Path, default=FOLDER, help="where results and report are kept")
    made.add_argument("--peers", action="store_true", help="other libraries too: only the keys in which they take part")
    made.add_argument("--list", action="store_true", help="list the keys and end")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run; 0, or 1 when a benchmark failed, or 2 when nothing fits what was said."""
    said = parser().parse_args(arguments)
    sqlite, postgres = SqlitePlace(), PostgresPlace()
    known = everything(Sizes(quick=said.quick, operations=said.operations, finished=said.finished), sqlite, postgres)
    if said.list:
        print(*(f"{benchmark.key:28} {benchmark.work}" for benchmark in known), sep="\n")
        return 0
    chosen = [
        benchmark
        for benchmark in known
        if (benchmark.key in said.only or (not said.only and (benchmark.is_short or not said.quick)))
        and said.store in (None, benchmark.store)
        and (not said.peers or benchmark.key in KEYS)
    ]
    keys = [benchmark.key for benchmark in known]
    if unknown := set(said.only) - set(keys):
        print(f"No benchmark is called {', '.join(sorted(unknown))}. There are: {', '.join(keys)}.", file=sys.stderr)
        return 2
    if not chosen:
        print(_nothing(said), file=sys.stderr)
        return 2
    peers = Peers(Environments(), {place.store: place for place in (sqlite, postgres)}) if said.peers else None
    rounds = said.rounds or (ROUNDS_PEERS if said.peers else ROUNDS_QUICK if said.quick else ROUNDS_FULL)
    try:
        records = _run(chosen, rounds, said.quick, peers)
    finally:
        sqlite.close()
        postgres.close()
    _keep(said.folder, records, keys, said.json)
    _show(records)
    return 1 if any(isinstance(record, Failed) for record in records.values()) else 0


def _run(chosen: Sequence[Benchmark | Scaling], rounds: int, quick: bool, peers: Peers | None) -> Records:
    if peers is not None:
        peers.prepare([benchmark for benchmark in chosen if isinstance(benchmark, Benchmark)])
    with teller() as tell:
        return run_all(chosen, rounds, tell, quick=quick, peers_of=no_peers if peers is None else peers.of)


def _nothing(said: argparse.Namespace) -> str:
    if said.peers and not any(key in KEYS for key in said.only):
        return f"No peer takes part in {', '.join(said.only)}. Peers are in: {', '.join(KEYS)}."
    return f"No benchmark of {', '.join(said.only)} is on {said.store}. Leave out --store."


def _keep(folder: Path, records: Records, keys: list[str], json: Path | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "results.json"
    kept = merged(_earlier(path), records, keys)
    write_records(path, kept)
    (folder / "REPORT.md").write_text(report(kept))
    (folder / CHART_NAME).write_text(svg(kept))
    if any(isinstance(record, Scaled) for record in kept.values()):
        (folder / SCALE_NAME).write_text(scale_svg(kept))
    if json is not None:
        write_records(json, records)


def _earlier(path: Path) -> Records:
    """What earlier runs left; a file of another form is not worth losing this run for."""
    try:
        return read_records(path)
    except msgspec.DecodeError as error:
        print(f"{path} cannot be read ({error}); it is written anew.", file=sys.stderr)
        return {}


def _show(records: Records) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH_WITHOUT_TERMINAL)
    table = Table(*COLUMNS, title="Ours against the floor: medians of the rounds")
    troubles: list[str] = []
    for row in rows(records):
        if row[1].startswith(("not run", "failed")):
            troubles.append(f"{row[0]}: {row[1]}")
        else:
            table.add_row(*row)
    if table.row_count:
        console.print(table)
    for record in records.values():
        if isinstance(record, Scaled):
            _show_curves(console, record)
    peers = Table(*PEER_COLUMNS, title="Peers")
    for key, record in records.items():
        for row in peer_rows(key, record.peers if isinstance(record, Result) else ()):
            if is_not_run(row):
                troubles.append(f"{row[0]}: {row[1]}: {row[2]}")
            else:
                peers.add_row(*row)
    if peers.row_count:
        console.print(peers)
    for trouble in troubles:
        console.print(trouble, highlight=False, markup=False)


def _show_curves(console: Console, scaled: Scaled) -> None:
    for curve in scaled.curves:
        table = Table(*curve_columns(curve), title=curve.name)
        for row in curve_rows(curve):
            table.add_row(*row)
        console.print(table)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number
