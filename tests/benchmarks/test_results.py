"""What is kept of a run can be read by a program and by a person."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.chart import svg
from benchmarks.peers.records import PeerFigure, PeerMeasured, PeerNotRun
from benchmarks.progress import Lines
from benchmarks.report import report
from benchmarks.results import Failed, NotRunHere, Records, Result, merged, read_records, write_records
from benchmarks.run import run_all
from benchmarks.series import Spread
from tests.benchmarks.fakes import Fake


@pytest.fixture
def records() -> Records:
    return {
        **run_all([Fake(has_same_rows=True)], 5, Lines(), quick=True),
        "absent": NotRunHere(work="Something.", reason="there is no server"),
        "less": Failed(work="Something else.", error="ours wrote less"),
    }


def test_results_json_says_of_each_key_what_was_seen(records: Records, tmp_path: Path) -> None:
    write_records(tmp_path / "results.json", records)

    kept = json.loads((tmp_path / "results.json").read_text())

    assert list(kept) == ["fake", "absent", "less"]
    fake = kept["fake"]
    assert fake["state"] == "measured"
    assert (fake["ours"], fake["floor"], fake["ratio"]) == (50, 100, 0.5)
    assert (fake["unit"], fake["rounds"], fake["target"], fake["met"]) == ("things/s", 5, "≥ 0.4", True)
    assert fake["spread"] == {"min": 0.5, "max": 0.5, "q1": 0.5, "q3": 0.5, "iqr": 0}
    assert fake["more"] == "Nothing either."
    assert "cores" in fake["machine"]
    assert fake["rows"] == {"floor": {"rows": 100}, "ours": {"rows": 100}, "same rows": {"rows": 100}}
    assert [(other["name"], other["ratio"]) for other in fake["also"]] == [("same rows", 0.75)]
    assert kept["absent"] == {"state": "not run", "work": "Something.", "reason": "there is no server"}


def test_results_are_read_back_as_they_were_written(records: Records, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_records(path, records)

    again = read_records(path)

    assert list(again) == list(records)
    write_records(tmp_path / "again.json", again)
    assert path.read_bytes() == (tmp_path / "again.json").read_bytes()
    assert read_records(tmp_path / "none.json") == {}


def test_numbers_do_not_pretend_to_be_exact(records: Records, tmp_path: Path) -> None:
    result = records["fake"]
    assert isinstance(result, Result)
    write_records(tmp_path / "results.json", {"fake": msgspec.structs.replace(result, ours=1234.56789)})

    assert json.loads((tmp_path / "results.json").read_text())["fake"]["ours"] == 1234.6


def test_a_run_of_some_keys_keeps_the_others_and_drops_keys_that_are_gone(records: Records) -> None:
    now: Records = {"absent": Failed(work="Something.", error="new")}

    kept = merged(records, now, ["absent", "fake", "never run"])

    assert list(kept) == ["absent", "fake"]
    assert kept["absent"] == now["absent"]


def test_the_report_has_method_table_and_troubles(records: Records) -> None:
    text = report(records)

    assert "## Method" in text
    assert "| fake | 50 | 100 | things/s | 0.5 | 0.5–0.5 | 0 | ≥ 0.4 ✓ |" in text
    assert "| fake, same rows | 50 | 66.7 | things/s | 0.75 |" in text
    assert "- `absent` was not run: there is no server." in text
    assert "- `less` failed: ours wrote less" in text
    assert "Ours does more: Nothing either." in text


def test_the_chart_has_a_bar_for_each_comparison(records: Records) -> None:
    chart = ElementTree.fromstring(svg(records))

    labels = [text.text for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert "fake" in labels
    assert "fake, same rows" in labels
    assert len(list(chart.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2


def figure(ratio: float, name: str = "") -> PeerFigure:
    return PeerFigure(
        name=name,
        unit="things/s",
        figure=round(100 * ratio),
        ratio=ratio,
        spread=Spread(min=ratio, max=ratio, q1=ratio, q3=ratio, iqr=0.0),
        score=ratio / 0.4,
        ours=0.5 / ratio,
    )


def measured_peer(name: str, ratio: float, *more: PeerFigure) -> PeerMeasured:
    return PeerMeasured(
        name=name,
        version="1.2",
        figures=(figure(ratio), *more),
        differs="Less: no order.",
        operations=40,
        rounds=5,
        cpu_us=12.0,
        rows={"rows": 40},
        measured_at="2026-01-02T03:04:05+00:00",
    )


@pytest.fixture
def with_peers(records: Records) -> Records:
    fake = records["fake"]
    assert isinstance(fake, Result)
    absent = PeerNotRun(name="lost", version="0.9", reason="it cannot be installed: no network")
    peers = (measured_peer("slow, tuned", 0.1), measured_peer("fast", 0.2, figure(0.25, "p99")), absent)
    return {**records, "fake": msgspec.structs.replace(fake, peers=peers)}


def test_results_json_has_the_peers_of_a_key(with_peers: Records, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_records(path, with_peers)

    slow, fast, absent = json.loads(path.read_text())["fake"]["peers"]

    assert (slow["name"], slow["version"], slow["state"]) == ("slow, tuned", "1.2", "measured")
    assert (slow["figures"][0]["ratio"], slow["figures"][0]["ours"], slow["differs"]) == (0.1, 5, "Less: no order.")
    assert [one["name"] for one in fast["figures"]] == ["", "p99"]
    assert absent == {
        "state": "not run",
        "name": "lost",
        "version": "0.9",
        "reason": "it cannot be installed: no network",
    }
    again, written = read_records(path)["fake"], with_peers["fake"]
    assert isinstance(again, Result)
    assert isinstance(written, Result)
    assert again.peers == written.peers


def test_the_report_has_a_table_of_peers_with_those_that_were_not_run(with_peers: Records) -> None:
    text = report(with_peers)

    assert "## Peers" in text
    assert "| fake | slow 1.2, tuned | 10 | things/s | 0.1 | 0.1–0.1 | 0 | 5 | 12 |" in text
    assert "| fake, p99 | fast 1.2 | 25 | things/s | 0.25 |" in text
    assert "| fake | lost 0.9 | not run: it cannot be installed: no network |" in text
    assert "- `fake`, slow 1.2, tuned: Less: no order. 40 operations a round, 5 rounds" in text


def test_a_report_without_peers_has_no_such_section(records: Records) -> None:
    assert "## Peers" not in report(records)


def test_the_chart_shows_the_best_peer_below_ours(with_peers: Records) -> None:
    chart = ElementTree.fromstring(svg(with_peers))

    texts = [text.text or "" for text in chart.iter("{http://www.w3.org/2000/svg}text")]
    assert "0.5 (≥ 0.4); fast 0.2" in texts
    assert not any("slow" in text for text in texts)
    assert len(list(chart.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 2 + 1


def test_a_run_without_peers_keeps_those_that_were_measured_before(records: Records, with_peers: Records) -> None:
    before, now = with_peers["fake"], records["fake"]
    assert isinstance(before, Result)
    assert isinstance(now, Result)

    kept = merged(with_peers, {"fake": msgspec.structs.replace(now, ours=77.0)}, ["fake"])["fake"]

    assert kept == msgspec.structs.replace(now, ours=77.0, peers=before.peers)
