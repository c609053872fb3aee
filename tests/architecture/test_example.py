"""The example shop keeps the rules that it is there to show."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest

from tests.architecture.example import modules_meet_in_messages, modules_of, only_duly_and_itself, shop_files
from tests.architecture.source_files import SourceFile
from tests.architecture.tree import ROOT


@pytest.fixture(scope="module")
def shop() -> list[SourceFile]:
    return shop_files(ROOT)


def test_the_example_has_modules_as_soon_as_it_has_an_application(shop: list[SourceFile]) -> None:
    if (ROOT / "examples/shop/application.py").exists():
        assert len(modules_of(shop)) > 1, "no package of examples/shop has a messages.py: are the rules blind?"


def test_the_example_imports_only_duly_and_itself(shop: list[SourceFile]) -> None:
    findings = only_duly_and_itself(shop)
    assert not findings, "\n".join(findings)


def test_the_modules_of_the_example_meet_only_in_their_messages(shop: list[SourceFile]) -> None:
    findings = modules_meet_in_messages(shop)
    assert not findings, "\n".join(findings)


SMALL_SHOP = {
    "application.py": (
        "from duly import Duly\nfrom examples.shop.ordering import handlers\nimport examples.shop.payments"
    ),
    "ordering/__init__.py": "",
    "ordering/messages.py": "from duly import Command",
    "ordering/handlers.py": "from examples.shop.ordering.messages import X\nfrom . import messages",
    "payments/__init__.py": "",
    "payments/messages.py": "from duly import DomainEvent",
    "payments/handlers.py": (
        "import json\nfrom duly.gateways.smtp import SmtpGateway\nfrom examples.shop.ordering.messages import X\n"
        "from ..ordering import messages\nimport examples.shop.ordering.messages as heard"
    ),
    "sandbox/server.py": "import starlette",
    "demo.py": "import uvicorn, examples.shop.sandbox.server",
}


def small_shop(place: Path, **changed: str) -> list[SourceFile]:
    """The files of a shop that keeps the rules, with some of them *changed*."""
    for path, text in {**SMALL_SHOP, **changed}.items():
        file = place / "examples" / "shop" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return shop_files(place)


def test_a_shop_that_keeps_the_rules_passes(tmp_path: Path) -> None:
    files = small_shop(tmp_path)
    assert modules_of(files) == {"examples.shop.ordering", "examples.shop.payments"}
    assert PurePosixPath("examples/shop/demo.py") not in {file.path for file in files}
    assert only_duly_and_itself(files) == []
    assert modules_meet_in_messages(files) == []


@pytest.mark.parametrize(
    "code",
    [
        "import sqlalchemy",
        "from duly.work.unit_of_work import UnitOfWork",
        "def later():\n    from duly.stores.sqlite import SqliteStore",
        "import duly.runtime.application",
        "from examples.shop.sandbox import server",
        "import examples.other",
        "import tests.architecture",
    ],
)
def test_an_example_that_imports_more_than_duly_is_found(code: str, tmp_path: Path) -> None:
    (finding,) = only_duly_and_itself(small_shop(tmp_path, **{"payments/handlers.py": code}))
    assert finding.startswith("examples/shop/payments/handlers.py:")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("payments/handlers.py", "from examples.shop.ordering.handlers import place_order"),
        ("payments/handlers.py", "from examples.shop.ordering import handlers"),
        ("payments/handlers.py", "import examples.shop.ordering"),
        ("payments/handlers.py", "from ..ordering.handlers import place_order"),
        ("payments/handlers.py", "from .. import ordering"),
        ("payments/messages.py", "def later():\n    import examples.shop.ordering.aggregates"),
        ("ordering/messages.py", "from examples.shop.ordering.handlers import place_order"),
    ],
)
def test_modules_that_meet_in_more_than_messages_are_found(path: str, code: str, tmp_path: Path) -> None:
    (finding,) = modules_meet_in_messages(small_shop(tmp_path, **{path: code}))
    assert finding.startswith(f"examples/shop/{path}:")
