"""What scales is measured by turns, and its curves can be read by a program and by a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar
from xml.etree import ElementTree

import pytest

from benchmarks.benchmark import NotRun
from benchmarks.measured import Measured
from benchmarks.places.processes import Processes
from benchmarks.progress import Lines
from benchmarks.report import report
from benchmarks.results import NotRunHere, Records, Scaled, read_records, write_records
from benchmarks.run import run_all
from benchmarks.scale_chart import scale_svg
from benchmarks.scaling import Axis, Scaling
from benchmarks.spending import Spent


@dataclass(kw_only=True)
class FakeScaling(Scaling):
    """One axis; a point takes as many seconds as it has doublings, and is slower in its second round."""

    key: str = "scale_fake"
    work: ClassVar[str] = "Nothing."
    refusal: str | None = None
    log: list[str] = field(default_factory=list)
    store: ClassVar[None] = None

    def open(self) -> None:
        if self.refusal is not None:
            raise NotRun(self.refusal)

    def metered(self) -> AbstractContextManager[object]:
        return nullcontext()

    def axes(self) -> Sequence[Axis]:
        return (Axis(name="nothing", of="things", unit="things/s", xs=(1, 10), opened=self._opened),)

    @contextmanager
    def _opened(self) -> Iterator[Callable[[int], Measured]]:
        self.log.append("open")
        yield self._measure
        self.log.append("close")

    def _measure(self, x: int) -> Measured:
        self.log.append(f"{x}")
        rounds = self.log.count(f"{x}")
        spent = Spent(wal_bytes=1_000 * rounds, server_cpu_seconds=0.01)
        return Measured(operations=100, seconds=float(x) * rounds, cpu_seconds=0.5, spent=spent)


@pytest.fixture
def records() -> Records:
    return run_all([FakeScaling()], 3, Lines(), quick=False)


def test_the_points_of_a_curve_take_turns_in_every_round() -> None:
    fake = FakeScaling()

    run_all([fake], 2, Lines(), quick=False)

    assert fake.log == ["open", "1", "10", "1", "10", "close"]


def test_a_point_is_the_median_of_its_rounds(records: Records) -> None:
    scaled = records["scale_fake"]
    assert isinstance(scaled, Scaled)
    ((one, ten),) = (curve.points for curve in scaled.curves)

    assert [one.value, one.min, one.max] == pytest.approx([50, 100 / 3, 100])
    assert (one.wal_bytes, one.client_cpu_us) == (20, 5_000)
    assert one.server_cpu_us == pytest.approx(100)
    assert (one.x, ten.x, ten.value) == (1, 10, 5)


def test_curves_are_read_back_as_they_were_written(records: Records, tmp_path: Path) -> None:
    write_records(tmp_path / "results.json", records)

    again = read_records(tmp_path / "results.json")["scale_fake"]

    assert isinstance(again, Scaled)
    assert [point.value for point in again.curves[0].points] == [50, 5]


def test_the_report_has_a_table_for_each_curve(records: Records) -> None:
    text = report(records)

    assert "### Nothing: things/s by things" in text
    assert "| 10 | 5 | 3.33–10 | 0.1 × | 20 | 5,000 | 100 |" in text
    assert "**`scale_fake`**: Nothing." in text


def test_the_chart_has_a_panel_for_each_curve_and_a_dot_for_each_point(records: Records) -> None:
    chart = ElementTree.fromstring(scale_svg(records))

    svg = "{http://www.w3.org/2000/svg}"
    assert len(list(chart.iter(f"{svg}g"))) == 1
    assert len(list(chart.iter(f"{svg}circle"))) == 2
    assert "nothing: things/s" in [text.text for text in chart.iter(f"{svg}text")]


def test_what_cannot_run_says_why() -> None:
    records = run_all([FakeScaling(refusal="there is no server")], 1, Lines(), quick=False)

    assert records["scale_fake"] == NotRunHere(work="Nothing.", reason="there is no server")


def test_a_process_that_does_not_begin_is_named(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="A process of first_command should have said 'ready' and said 'done'"):
        Processes("first_command", 1, "memory:")
