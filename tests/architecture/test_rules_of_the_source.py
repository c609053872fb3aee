"""What import-linter cannot say of src/duly: rules over syntax trees, each shown to turn red."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from tests.architecture import rules
from tests.architecture.rules import LINES_MAX, RULES, Rule
from tests.architecture.source_files import SourceFile, source_files
from tests.architecture.tree import ROOT

PLANTED: list[tuple[Rule, str, str]] = [
    (rules.the_core_is_pure, "duly/states/effect.py", "import sqlite3"),
    (rules.the_core_is_pure, "duly/messages/codec.py", "import socket"),
    (rules.the_core_is_pure, "duly/domain/aggregate.py", "import time"),
    (rules.the_core_is_pure, "duly/states/retry.py", "def now():\n    from random import random"),
    (rules.the_core_is_pure, "duly/ports/store.py", "from os import environ"),
    (rules.the_core_is_pure, "duly/messages/message.py", "import logging"),
    (rules.the_core_is_pure, "duly/messages/message.py", "from duly.telemetry import log"),
    (rules.the_core_is_pure, "duly/messages/message.py", "from duly import telemetry"),
    (rules.the_core_is_pure, "duly/states/attempt.py", "import httpx"),
    (rules.the_core_is_pure, "duly/states/effect.py", "def due(): return datetime.now(UTC)"),
    (rules.the_core_is_pure, "duly/clock.py", "import datetime as d\nNOW = d.datetime.utcnow()"),
    (rules.the_core_is_pure, "duly/messages/identity.py", "from uuid import uuid4"),
    (rules.the_core_is_pure, "duly/messages/identity.py", "import uuid\ndef new(): return uuid.uuid4()"),
    (rules.the_core_is_pure, "duly/domain/aggregate.py", "def dump(path): open(path)"),
    (rules.drivers_stay_at_home, "duly/stores/sql_store.py", "import asyncpg"),
    (rules.drivers_stay_at_home, "duly/stores/postgres/engine.py", "import sqlite3"),
    (rules.drivers_stay_at_home, "duly/gateways/twilio.py", "def call():\n    import httpx"),
    (rules.drivers_stay_at_home, "duly/runtime/application.py", "from aiosmtplib import SMTP"),
    (rules.drivers_stay_at_home, "duly/gateways/twilio.py", "import phonenumbers"),
    (rules.drivers_stay_at_home, "duly/gateways/mime.py", "import email_validator"),
    (rules.drivers_stay_at_home, "duly/effects/sender.py", "from opentelemetry import trace"),
    (rules.drivers_stay_at_home, "duly/runtime/worker.py", "import typer"),
    (rules.drivers_stay_at_home, "duly/gateways/console.py", "import rich.console"),
    (rules.drivers_stay_at_home, "duly/work/sql.py", "import sqlalchemy"),
    (rules.only_testing_arms_failpoints, "duly/runtime/worker.py", "from duly.failpoints import arm"),
    (rules.only_testing_arms_failpoints, "duly/cli/commands.py", "from duly import failpoints\nfailpoints.arm(print)"),
    (
        rules.only_testing_arms_failpoints,
        "duly/cli/commands.py",
        "import duly.failpoints as failpoints\nfailpoints._hook = 1",
    ),
    (rules.nobody_reads_the_environment, "duly/runtime/settings.py", "import os\nURL = os.environ['URL']"),
    (rules.nobody_reads_the_environment, "duly/gateways/smtp.py", "from os import getenv"),
    (rules.nobody_reads_the_environment, "duly/failpoints.py", "import os\ndef hook(): return os.getenv('HOOK')"),
    (rules.the_database_has_the_clock, "duly/effects/sender.py", "import time\ndef due(): return time.time()"),
    (rules.the_database_has_the_clock, "duly/delivery/relay.py", "def due(): return datetime.now(UTC)"),
    (rules.importing_does_nothing, "duly/telemetry.py", "import logging\nlogging.basicConfig()"),
    (rules.importing_does_nothing, "duly/stores/script.py", "SQL = Path('schema.sql').read_text()"),
    (rules.importing_does_nothing, "duly/effects/sender.py", "if True:\n    THREAD = threading.Thread()"),
    (rules.importing_does_nothing, "duly/runtime/worker.py", "class Worker:\n    file = open('worker.pid')"),
    (rules.importing_does_nothing, "duly/runtime/worker.py", "def run(loop=asyncio.new_event_loop()): ..."),
    (rules.files_are_short, "duly/work/wiring.py", "pass\n" * (LINES_MAX + 1)),
    (rules.names_say_what_is_there, "duly/work/utils.py", ""),
    (rules.names_say_what_is_there, "duly/common/words.py", ""),
    (rules.names_say_what_is_there, "duly/delivery/relay.py", "class OutboxManager: ..."),
    (rules.names_say_what_is_there, "duly/gateways/http.py", "class HTTPBase: ..."),
    (rules.names_say_what_is_there, "duly/work/wiring.py", "def signature_helper(): ..."),
    (rules.words_are_the_fields_own, "duly/messages/message.py", "class DomainEventNotification: ..."),
    (rules.words_are_the_fields_own, "duly/states/effect.py", "class Dispatch:\n    SENT = 'sent'"),
    (
        rules.words_are_the_fields_own,
        "duly/stores/ledger_scripts.py",
        "SQL = \"UPDATE duly.effect SET state = 'sent'\"",
    ),
]


@pytest.fixture(scope="module")
def source() -> list[SourceFile]:
    return source_files(ROOT / "src", "duly")


def with_planted(files: Sequence[SourceFile], path: str, code: str) -> list[SourceFile]:
    """The files as they would be with *code* at the end of the file at *path*."""
    present = next((file.text for file in files if str(file.path) == path), "")
    others = [file for file in files if str(file.path) != path]
    return [*others, SourceFile(PurePosixPath(path), f"{present}\n{code}\n")]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_source_keeps_the_rule(rule: Rule, source: list[SourceFile]) -> None:
    findings = rule(source)
    assert not findings, "\n".join(findings)


@pytest.mark.parametrize(
    ("rule", "path", "code"), PLANTED, ids=[f"{rule.__name__}: {code[:60]!r}" for rule, _, code in PLANTED]
)
def test_a_planted_violation_is_found_where_it_is(rule: Rule, path: str, code: str, source: list[SourceFile]) -> None:
    new = set(rule(with_planted(source, path, code))) - set(rule(source))
    assert new, f"{rule.__name__} overlooks {code!r}"
    assert all(finding.startswith(f"{path}:") for finding in new)


def test_every_rule_has_a_planted_violation() -> None:
    assert {rule for rule, _, _ in PLANTED} == set(RULES)


def test_every_rule_looks_at_files(source: list[SourceFile]) -> None:
    assert len(source) > 60
    assert all(any(str(file.path).startswith(place) for file in source) for place in rules.PURE)
