"""The contracts of pyproject.toml hold, and each of them turns red when it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from tests.architecture.contracts import Contract, Verdict, contracts, lint
from tests.architecture.tree import ROOT, copied_source, file_of, plant

CONTRACTS = {contract.id: contract for contract in contracts()}
LAYERED = [contract for contract in CONTRACTS.values() if contract.kind == "layers"]


@dataclass(frozen=True)
class Planted:
    """A line of *code*, in the file of *module*, that breaks a contract."""

    contract: str
    module: str
    code: str

    def __str__(self) -> str:
        return f"{self.contract}: {self.code} in {self.module}"


BY_HAND = [
    Planted("acts", "duly.transaction.command_bus", "import duly.delivery.relay"),
    Planted("acts", "duly.delivery.delivery", "import duly.transaction.command_bus"),
    Planted("acts", "duly.delivery.relay", "import duly.effects.sender"),
    Planted("acts", "duly.effects.sender", "from duly.delivery.relay import Relay"),
    Planted("acts", "duly.effects.sender", "import typing\nif typing.TYPE_CHECKING: import duly.delivery.relay"),
    Planted("adapters-know-no-acts", "duly.stores.sqlite.store", "import duly.transaction.command_bus"),
    Planted("adapters-know-no-acts", "duly.stores.sql_store", "from duly.delivery import lanes"),
    Planted("adapters-know-no-acts", "duly.gateways.smtp", "import duly.work.unit_of_work"),
    Planted("adapters-know-no-acts", "duly.gateways.http", "def later():\n    import duly.runtime.application"),
    Planted("production-is-not-testing", "duly.runtime.worker", "import duly.testing"),
    Planted("production-is-not-testing", "duly.clock", "from duly.testing import anything"),
    Planted("framework-knows-no-application", "duly.runtime.application", "import examples.shop.application"),
    Planted("framework-knows-no-application", "duly.errors", "from tests.architecture import tree"),
    Planted("framework-knows-no-application", "duly.testing.any", "import benchmarks.floors"),
]


def upward_and_sideways(contract: Contract) -> Iterator[Planted]:
    """For a contract of layers: the lowest imports the highest, and a neighbour its neighbour."""
    present = [
        [name for name in layer if file_of(ROOT / "src", f"{contract.container}.{name}")] for layer in contract.layers
    ]
    lines = [layer for layer in present if layer]
    if len(lines) > 1:
        lowest, highest = lines[-1][0], lines[0][0]
        yield Planted(contract.id, f"{contract.container}.{lowest}", f"import {contract.container}.{highest}")
    for layer in lines:
        for left, right in pairwise(layer):
            yield Planted(contract.id, f"{contract.container}.{left}", f"import {contract.container}.{right}")


PLANTED = [*BY_HAND, *(planted for contract in LAYERED for planted in upward_and_sideways(contract))]


def test_the_import_rules_hold() -> None:
    verdict = lint(ROOT / "src")
    assert not verdict.broken, verdict.output
    assert verdict.kept == {contract.name for contract in CONTRACTS.values()}


@pytest.mark.parametrize("planted", PLANTED, ids=str)
def test_an_import_against_the_rules_breaks_its_contract_by_name(planted: Planted, tmp_path: Path) -> None:
    source = copied_source(tmp_path)
    newcomer = source.joinpath(*planted.module.split(".")).with_suffix(".py")
    plant(file_of(source, planted.module) or newcomer, planted.code)
    contract = CONTRACTS[planted.contract]
    verdict = lint(source)
    assert contract.name in verdict.broken, verdict.output
    assert " ".join(contract.guidance.split()) in " ".join(verdict.output.split()), "the cure is not told"


@pytest.fixture(scope="module")
def with_newcomers(tmp_path_factory: pytest.TempPathFactory) -> Verdict:
    """The verdict on a tree in which every package has got a file that nobody has given a place."""
    source = copied_source(tmp_path_factory.mktemp("newcomers"))
    for contract in LAYERED:
        plant(source.joinpath(*contract.container.split(".")) / "newcomer.py", "")
    return lint(source)


@pytest.mark.parametrize("contract", LAYERED, ids=lambda contract: contract.id)
def test_a_new_file_without_a_place_breaks_the_contract_of_its_package(
    contract: Contract, with_newcomers: Verdict
) -> None:
    assert contract.name in with_newcomers.broken
    assert f"- {contract.container}.newcomer" in with_newcomers.output


def test_every_package_has_a_contract_that_gives_each_of_its_files_a_place() -> None:
    packages = {
        ".".join(file.parent.relative_to(ROOT / "src").parts)
        for file in (ROOT / "src" / "duly").rglob("*.py")
        if file.name != "__init__.py"
    }
    placed = {contract.container for contract in LAYERED if contract.exhaustive}
    assert packages <= placed, f"add a contract of layers to pyproject.toml for: {sorted(packages - placed)}"


def test_every_contract_has_a_planted_violation_or_a_newcomer() -> None:
    planted = {planted.contract for planted in PLANTED} | {contract.id for contract in LAYERED if contract.exhaustive}
    assert planted == set(CONTRACTS)


def test_every_contract_tells_its_cure() -> None:
    assert [contract.id for contract in CONTRACTS.values() if not contract.guidance.strip()] == []


def test_no_contract_looks_away_from_an_import() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert "ignore_imports" not in text
    assert "exclude_type_checking_imports" not in text
