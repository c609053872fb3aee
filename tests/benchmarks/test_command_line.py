"""`python -m benchmarks` runs what it was asked to run, and keeps it where it was told to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.benchmark import Benchmark, NotRun
from benchmarks.cli import main
from benchmarks.places.postgres import PostgresPlace
from benchmarks.results import Records
from benchmarks.scaling import Scaling


def test_only_runs_the_keys_that_were_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run.json"

    status = main(["--only", "dispatch", "--rounds=1", "--operations=20", f"--folder={tmp_path}", f"--json={out}"])

    assert status == 0
    assert list(json.loads(out.read_text())) == ["dispatch"]
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(out.read_text())
    assert "dispatch" in (tmp_path / "REPORT.md").read_text()
    assert (tmp_path / "ratios.svg").exists()
    said = capsys.readouterr()
    assert "dispatch" in said.out
    assert "dispatch: round 1, ours" in said.err


@pytest.mark.parametrize("left", ["no JSON", '{"dispatch": {"state": "measured"}}'])
def test_results_of_another_form_are_written_anew(
    left: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text(left)

    assert main(["--only", "dispatch", "--rounds=1", "--operations=20", f"--folder={tmp_path}"]) == 0

    assert json.loads((tmp_path / "results.json").read_text())["dispatch"]["rounds"] == 1
    assert "it is written anew" in capsys.readouterr().err


def test_an_unknown_key_is_named_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "commands_oracle_c1"]) == 2
    said = capsys.readouterr().err
    assert "No benchmark is called commands_oracle_c1" in said
    assert "commands_sqlite_c1" in said


def test_a_key_of_another_store_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "relay_sqlite_w1", "--store", "postgres"]) == 2
    assert "Leave out --store" in capsys.readouterr().err


def test_the_list_has_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    keys = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {
        *("commands_sqlite_c1", "commands_sqlite_c32", "commands_pg_c1", "commands_pg_c32"),
        *("relay_sqlite_w1", "relay_pg_w1", "dispatch", "effects_sqlite", "effects_pg"),
        *("effects_http_sqlite", "effects_http_pg", "growth_ledger_page_sqlite", "growth_ledger_page_pg"),
        *("relay_pg_w2", "relay_one_key_pg", "relay_one_key_sqlite", "growth_claim_pg", "growth_claim_sqlite"),
        *("growth_subscribers_pg", "growth_subscribers_sqlite", "scale_pg"),
        *("latency_sqlite", "import_duly", "cold_start"),
    } <= set(keys)


@pytest.mark.parametrize(
    ("arguments", "run"), [(["--quick"], False), ([], True), (["--quick", "--only=scale_pg"], True)]
)
def test_what_takes_long_has_a_part_in_a_short_run_only_when_it_is_named(
    arguments: list[str], run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def only_told(chosen: Sequence[Benchmark | Scaling], *_: object, **__: object) -> Records:
        begun.extend(benchmark.key for benchmark in chosen)
        return {}

    monkeypatch.setattr("benchmarks.cli.run_all", only_told)

    assert main([*arguments, f"--folder={tmp_path}"]) == 0
    assert ("scale_pg" in begun) is run
    assert ("growth_claim_pg" in begun) is (not arguments)
    assert ("commands_pg_c1" in begun) is ("--only=scale_pg" not in arguments)


def test_a_database_that_cannot_be_had_is_not_run_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(place: PostgresPlace) -> None:
        raise NotRun("no PostgreSQL server: it is somewhere else")

    monkeypatch.setattr(PostgresPlace, "open", refuse)

    status = main(["--store=postgres", "--rounds=1", "--operations=4", f"--folder={tmp_path}"])

    assert status == 0
    kept = json.loads((tmp_path / "results.json").read_text())
    assert {record["state"] for record in kept.values()} == {"not run"}
    assert "relay_pg_w1: not run: no PostgreSQL server: it is somewhere else" in capsys.readouterr().out


@pytest.mark.parametrize("rounds", ["0", "-1"])
def test_fewer_than_one_round_is_refused(rounds: str) -> None:
    with pytest.raises(SystemExit):
        main([f"--rounds={rounds}"])


def test_a_key_without_peers_is_refused_with_the_keys_that_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--peers", "--only", "cold_start"]) == 2
    said = capsys.readouterr().err
    assert "No peer takes part in cold_start" in said
    assert "commands_pg_c1" in said
