"""The reference says what the code says: names, signatures, defaults, errors, limits, states, tables.

Each test makes the beginnings of the lines that the page must have, and names the first one that is missing.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
import typer

import duly
from duly import errors, failpoints
from duly.cli.commands import app as command_line
from duly.effects.operations import EVERY_VERB
from duly.gateways.console import ConsoleMail, ConsoleSms
from duly.gateways.http import KEYED_RETRY
from duly.gateways.json_http import JsonHttpGateway
from duly.gateways.recording import RecordingGateway
from duly.gateways.resend import ResendMail
from duly.gateways.smtp import SmtpGateway
from duly.gateways.twilio import TwilioSms
from duly.gateways.webhook import WEBHOOK_RETRY, WebhookGateway
from duly.messages.outcomes import EffectFailed
from duly.ports.gateway import Call, Prepared
from duly.ports.ledger_view import Anomaly
from duly.ports.store import Parked
from duly.runtime.settings import Settings
from duly.states import effect
from duly.states.retry import EFFECT_RETRY, RetrySchedule
from duly.testing.golden import check_corpus, write_corpus
from duly.testing.scenario import Happened, Scenario
from duly.work.module import HandlerKind, Module
from duly.work.signature import ALLOWED
from duly.work.wiring import _HEARS

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src/duly"
PAGE = (ROOT / "docs/reference.md").read_text()
LINES = PAGE.splitlines()


def section(heading: str) -> list[str]:
    """The lines under a heading, up to the next one of its level."""
    start = LINES.index(f"## {heading}") + 1
    rest = LINES[start:]
    ends = [number for number, line in enumerate(rest) if line.startswith("## ")]
    return rest[: ends[0]] if ends else rest


def assert_rows(heading: str, beginnings: list[str]) -> None:
    lines = section(heading)
    assert beginnings, heading
    for beginning in beginnings:
        assert any(line.startswith(beginning) for line in lines), (
            f"docs/reference.md, {heading}: a line must begin with: {beginning}"
        )


def shown(value: object) -> str:
    """A default as the page shows it."""
    match value:
        case timedelta():
            return duration(value)
        case RetrySchedule():
            names = {
                id(EFFECT_RETRY): "EFFECT_RETRY",
                id(KEYED_RETRY): "KEYED_RETRY",
                id(WEBHOOK_RETRY): "WEBHOOK_RETRY",
            }
            return names.get(id(value)) or "waits up to " + ", ".join(map(duration, value.waits))
        case msgspec.Struct():
            return f"{type(value).__name__}()"
        case Enum():
            return f"{type(value).__name__}.{value.name}"
        case frozenset():
            return "EVERY_VERB" if value is EVERY_VERB else repr(value)
        case bool():
            return repr(value)
        case int() | float():
            return f"{value:,}"
        case str():
            return f'"{value}"'
        case _:
            return repr(value)


def duration(value: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min")):
        if value >= unit and not value % unit:
            return f"{value // unit} {name}"
    seconds = value.total_seconds()
    return f"{seconds:g} s" if seconds >= 0.2 else f"{seconds * 1000:g} ms"


def signature_of(function: Callable[..., object], name: str) -> str:
    """A call as the page shows it: names and defaults, no types."""
    parts: list[str] = []
    is_keyword_only = False
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
    for position, parameter in enumerate(parameters):
        if parameter.kind is parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            if not any(each.kind is each.VAR_POSITIONAL for each in parameters):
                parts.append("*")
        stars = "*" * (parameter.kind is parameter.VAR_POSITIONAL) + "**" * (parameter.kind is parameter.VAR_KEYWORD)
        default = "" if parameter.default is parameter.empty else f"={shown(parameter.default)}"
        parts.append(f"{stars}{parameter.name}{default}")
        is_last_positional = parameter.kind is parameter.POSITIONAL_ONLY and not any(
            each.kind is each.POSITIONAL_ONLY for each in parameters[position + 1 :]
        )
        if is_last_positional:
            parts.append("/")
        is_keyword_only = is_keyword_only or parameter.kind is parameter.VAR_POSITIONAL
    return f"{name}({', '.join(parts)})"


def methods_of(cls: type) -> Iterator[str]:
    """Calls of *cls*, those that it has from others included."""
    for name, member in inspect.getmembers(cls, inspect.isfunction):
        if not name.startswith("_") and member.__module__.startswith("duly"):
            yield signature_of(member, name)


def test_every_public_name_is_in_the_reference() -> None:
    assert_rows("Names", [f"| `{name}` |" for name in duly.__all__])


@pytest.mark.parametrize(
    "cls",
    [
        duly.Duly,
        duly.Module,
        duly.Repository,
        duly.Effects,
        duly.Sql,
        duly.Reader,
        duly.TenantLedger,
        duly.TenantProcesses,
        duly.ProcessManager,
        duly.Templates,
        duly.Attachments,
        duly.Operations,
        duly.SuppressionList,
        duly.ReceiptTaker,
        duly.Replay,
        duly.Aggregate,
        duly.Projection,
        duly.ReadModel,
        duly.ReadModels,
        duly.Tables,
        duly.RetrySchedule,
        Scenario,
    ],
    ids=lambda cls: cls.__name__,
)
def test_every_method_that_one_calls_is_in_the_reference_with_its_defaults(cls: type) -> None:
    decorators = {"command", "query", "in_transaction", "after_commit", "publishes"} if cls is Module else set()
    calls = [call for call in methods_of(cls) if call.partition("(")[0] not in decorators]
    assert_rows("Calls", [f"| `{call}` |" for call in calls])


def test_what_an_application_and_a_module_are_made_of_is_in_the_reference() -> None:
    calls = [signature_of(cls.__init__, cls.__name__) for cls in (duly.Duly, duly.Module, Scenario)]
    calls.append(signature_of(duly.parse_message, "parse_message"))
    calls += [signature_of(function, function.__name__) for function in (duly.check, check_corpus, write_corpus)]
    assert_rows("Calls", [f"| `{call}` |" for call in calls])


def test_every_gateway_is_in_the_reference_with_its_settings() -> None:
    gateways = (
        SmtpGateway,
        TwilioSms,
        JsonHttpGateway,
        ResendMail,
        WebhookGateway,
        ConsoleSms,
        ConsoleMail,
        RecordingGateway,
    )
    assert_rows("Gateways", [f"| `{gateway.__module__}` | `{gateway.__name__}` |" for gateway in gateways])
    written = [" ".join(block.split()) for block in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)]
    for gateway in gateways:
        assert signature_of(gateway.__init__, gateway.__name__) in written


def test_every_setting_is_in_the_reference_with_its_default() -> None:
    fields = msgspec.structs.fields(Settings)
    assert_rows("Settings", [f"| `{field.name}` | {shown(field.default)} |" for field in fields])


def test_every_error_is_in_the_reference_below_the_one_it_derives_from() -> None:
    found = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.DulyError)]
    assert_rows("Errors", [f"| `{cls.__name__}` | `{cls.__base__.__name__}` |" for cls in found if cls.__base__])


def test_every_kind_of_handler_is_in_the_reference_with_what_it_hears_and_its_options() -> None:
    rows = []
    assert set(HandlerKind) - set(_HEARS) == {HandlerKind.PROCESS}, "what is given to a module as a class"
    for kind in _HEARS:
        hears = ", ".join(f"`{cls.__name__}`" for cls in _HEARS[kind])
        options = inspect.signature(getattr(Module, kind.value)).parameters.values()
        named = ", ".join(f"`{option.name}=`" for option in options if option.kind is option.KEYWORD_ONLY)
        rows.append(f"| `@module.{kind.value}` | {hears} | {named} |")
    assert_rows("Handlers", rows)


def test_every_parameter_of_handlers_is_in_the_reference_with_the_kinds_that_may_have_it() -> None:
    kinds: dict[str, list[str]] = {}
    for kind, allowed in ALLOWED.items():
        for cls in allowed:
            name = f"{cls.__name__}[…]" if cls in (duly.Repository, duly.ReadModels) else cls.__name__
            kinds.setdefault(name, []).append(f"`{kind.value}`")
    assert_rows("Handlers", [f"| `{name}` | {', '.join(sorted(names))} |" for name, names in kinds.items()])


@pytest.mark.parametrize(
    "record",
    [
        duly.AttemptView,
        duly.Context,
        duly.EffectView,
        duly.HandlerCall,
        duly.Link,
        duly.Accepted,
        duly.NotSent,
        duly.Unknown,
        Anomaly,
        Call,
        Parked,
        Prepared,
        duly.AttachmentRef,
        duly.AuditRow,
        duly.Carried,
        duly.EffectFilter,
        duly.EffectPage,
        duly.Erased,
        duly.Found,
        duly.Incoming,
        duly.Keeps,
        duly.LookUpView,
        duly.MailText,
        duly.NotThere,
        duly.OpenBreaker,
        duly.Operated,
        duly.Pause,
        duly.Plan,
        duly.Receipt,
        duly.ReceiptView,
        duly.Refused,
        duly.Logged,
        duly.Origin,
        duly.ProcessView,
        duly.ProcessStepView,
        duly.ProcessHistory,
        duly.TimedOut,
        duly.CommandRejected,
        duly.ProjectionView,
        duly.RecordedEvent,
        duly.Executed,
        Happened,
        duly.Rebuilt,
        duly.RebuildProgress,
        duly.Past,
        duly.PastCount,
        duly.DryRun,
        duly.EffectCount,
        duly.ErrorCount,
        duly.Backfill,
        duly.Sending,
        duly.Suppression,
        duly.Swept,
        duly.Unclear,
        EffectFailed,
    ],
    ids=lambda cls: cls.__name__,
)
def test_every_field_of_a_record_that_one_reads_is_in_the_reference(record: type[msgspec.Struct]) -> None:
    fields = ", ".join(f"`{name}`" for name in record.__struct_fields__)
    assert f"- `{record.__name__}`: {fields}" in " ".join(" ".join(section("Records")).split())


def verbs_of(group: object, prefix: str) -> Iterator[tuple[str, object]]:
    """Every verb, by the words that call it."""
    verbs: dict[str, object] = getattr(group, "commands")  # noqa: B009
    for name, verb in verbs.items():
        if hasattr(verb, "commands"):
            yield from verbs_of(verb, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", verb


def verb_row(words: str, verb: object) -> str:
    """The beginning of a verb's line: what it takes, then the options that it must have, then the others."""
    parameters = sorted(getattr(verb, "params"), key=lambda each: each.opts[0].startswith("-"))  # noqa: B009
    shown = [
        (f"[{each.opts[0]}]" if not each.required else each.opts[0])
        if each.opts[0].startswith("-")
        else (each.opts[0].upper() if each.required else f"[{each.opts[0].upper()}]")
        for each in parameters
    ]
    return f"| `{words} {' '.join(shown)}` |"


def test_every_verb_of_the_command_line_is_in_the_reference_with_its_options() -> None:
    verbs = list(verbs_of(typer.main.get_command(command_line), "duly"))
    assert verbs
    assert_rows("Command line", [verb_row(words, verb) for words, verb in verbs])


def limits() -> Iterator[str]:
    """`NAME`, value and module of every constant that is a limit."""
    for path in sorted(SOURCE.rglob("*.py")):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
            for target in targets:
                if isinstance(target, ast.Name) and target.id.endswith("_MAX") and not target.id.startswith("_"):
                    value = getattr(import_module(f"duly.{module}"), target.id)
                    yield f"| `{target.id}` | {shown(value)} | `{module}` |"


def test_every_limit_is_in_the_reference_with_its_value() -> None:
    assert_rows("Limits", list(limits()))


def test_every_failpoint_is_in_the_reference() -> None:
    assert_rows("Failpoints", [f"| `{name}` |" for name in failpoints.NAMES])


def test_every_table_is_in_the_reference() -> None:
    schema = (SOURCE / "stores/schema/sqlite_0001.sql").read_text()
    assert_rows("Tables", [f"| `{name}` |" for name in re.findall(r"^CREATE TABLE (\w+)", schema, re.MULTILINE)])


def test_every_state_of_dispatch_is_in_the_reference() -> None:
    assert_rows("Dispatch", [f"| `{state.value}` |" for state in effect.Dispatch])
