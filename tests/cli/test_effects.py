"""``duly effects``, as an operator runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APPLICATION = """
import asyncio
from datetime import timedelta
from duly import Accepted, Command, Duly, DomainEvent, Effects, Module, NotSent, Sms, Unknown
from duly.gateways.recording import RecordingGateway

class Text(Command):
    texts: list[str]
    wait_seconds: int = 0

desk = Module("desk")

@desk.command
async def text(command: Text, effects: Effects) -> None:
    for text in command.texts:
        effects.request(
            Sms(to="+4915123456789", text=text), reference=text, at=timedelta(seconds=command.wait_seconds)
        )

def outcome(call):
    text = call.prepared.body.decode()
    if "lost" in text and call.number == 1:
        return Unknown(evidence="lost \\x1b[31m after [bold]it[/bold] was written")
    if "bad" in text:
        return NotSent(reason="the number is invalid", permanent=True)
    return Accepted(provider_id=f"SM-{call.number}", evidence="201")

def app(worker: bool = False, tenant: str | None = "acme") -> Duly:
    gateway = RecordingGateway(Sms, name="sms", channel="sms", outcomes=outcome)
    return Duly(modules=[desk], store="sqlite:///desk.db", gateways=[gateway], tenant=tenant, worker=worker)

def nobodys() -> Duly:
    return app(tenant=None)

async def work(*texts: str, wait_seconds: int = 0) -> None:
    async with app(worker=True) as running:
        if texts:
            await running.execute(Text(texts=list(texts), wait_seconds=wait_seconds))
        await running.until_quiet()
"""

WHO = ("--by", "anna@example.com", "--reason", "seen in their log")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "desk.py").write_text(APPLICATION)
    return tmp_path


def work(folder: Path, *texts: str, wait_seconds: int = 0) -> None:
    """Request texts and let a worker do what is due."""
    program = f"import asyncio, desk; asyncio.run(desk.work(*{texts!r}, wait_seconds={wait_seconds}))"
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=60, capture_output=True)


def duly(folder: Path, *arguments: str, answer: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).parent / "duly", "effects", *arguments],
        cwd=folder,
        input=answer,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**{name: value for name, value in os.environ.items() if name != "DULY_OPERATOR"}, **environment},
    )


def lines(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What a verb prints with --json."""
    told = duly(folder, *arguments, "--json")
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def ids(folder: Path, *options: str) -> list[str]:
    return [view["id"] for view in lines(folder, "list", "desk:app", *options)]


def words(told: subprocess.CompletedProcess[str]) -> str:
    """What was told, without the lines that tables and boxes are made of."""
    return " ".join((told.stdout + told.stderr).replace("│", " ").split())


# Reading.


def test_a_list_says_state_reason_and_what_comes_next_in_words(folder: Path) -> None:
    work(folder, "fine", "lost", "bad")
    work(folder, "later", wait_seconds=7_200)
    told = duly(folder, "list", "desk:app", COLUMNS="120")
    assert told.returncode == 0
    assert "accepted" in told.stdout
    assert "failed: the number is invalid" in words(told)
    assert "settle it" in words(told)
    assert "attempt in" in words(told)
    assert max(map(len, told.stdout.splitlines())) <= 120
    for effect_id in ids(folder):
        assert effect_id in told.stdout


@pytest.mark.parametrize("width", ["60", "80", "200"])
def test_a_list_fits_the_terminal_and_keeps_the_ids_whole(folder: Path, width: str) -> None:
    work(folder, "lost")
    told = duly(folder, "list", "desk:app", COLUMNS=width)
    assert max(map(len, told.stdout.splitlines())) <= int(width)
    assert ids(folder)[0] in told.stdout


def test_what_a_provider_wrote_does_not_steer_the_terminal(folder: Path) -> None:
    work(folder, "lost")
    for verb in (["list", "desk:app"], ["show", "desk:app", *ids(folder)]):
        told = duly(folder, *verb, COLUMNS="200")
        assert "\x1b" not in told.stdout
        assert "[bold]it[/bold]" in told.stdout


def test_effects_are_filtered_and_paged_and_json_has_stdout_to_itself(folder: Path) -> None:
    work(folder, "one", "two", "bad")
    assert len(ids(folder, "--state", "accepted")) == 2
    assert len(ids(folder, "--state", "accepted", "--state", "failed", "--channel", "sms")) == 3
    assert len(ids(folder, "--recipient", "+4915123456789", "--reference", "two")) == 1
    assert ids(folder, "--until", "1h") == []
    assert len(ids(folder, "--since", "1h", "--type", "duly.sms", "--gateway", "sms")) == 3
    first = duly(folder, "list", "desk:app", "--rows", "2", "--json")
    assert [json.loads(line)["reference"] for line in first.stdout.splitlines()] == ["bad", "two"]
    cursor = first.stderr.split()[-1]
    assert [view["reference"] for view in lines(folder, "list", "desk:app", "--after", cursor)] == ["one"]


def test_a_stores_url_is_enough_to_read(folder: Path) -> None:
    work(folder, "bad")
    url = ("sqlite:///desk.db", "--tenant", "acme")
    (view,) = lines(folder, "list", *url)
    assert lines(folder, "show", url[0], view["id"], *url[1:]) == [view]
    assert lines(folder, "anomalies", *url) == []
    assert lines(folder, "list", "sqlite:///desk.db", "--tenant", "other") == []


def test_one_effect_is_shown_with_its_causes_attempts_and_what_people_did(folder: Path) -> None:
    work(folder, "lost")
    (effect_id,) = ids(folder)
    assert duly(folder, "retry", "desk:app", effect_id, *WHO, "--yes").returncode == 0
    work(folder)
    told = words(duly(folder, "show", "desk:app", effect_id, COLUMNS="100"))
    for part in (
        f"Effect {effect_id}",
        "Because of Text (command)",
        "this effect by desk.text",
        "accepted (by hand, possible duplicate)",
        "possible duplicates: 1",
        "anna@example.com retry",
        "seen in their log",
        "SM-2",
    ):
        assert part in told


def test_anomalies_are_listed_with_what_they_are_about(folder: Path) -> None:
    work(folder)
    program = """
import asyncio, desk
from duly.testing.store_exam import change, intent
async def main():
    async with desk.app() as app:
        for digest in ("d1", "d2"):
            await app._store.commit(change(intents=(intent("e-1", digest=digest),)))
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, timeout=60)
    (anomaly,) = lines(folder, "anomalies", "desk:app")
    assert (anomaly["about"], anomaly["kind"]) == ("e-1", "effect requested again with another body")
    assert "effect requested again with another body" in words(duly(folder, "anomalies", "desk:app"))


# Changing.


def test_an_unknown_effect_is_settled_after_a_yes_and_the_audit_says_by_whom(folder: Path) -> None:
    work(folder, "lost")
    (effect_id,) = ids(folder)
    told = duly(folder, "settle", "desk:app", effect_id, "--accepted", "--provider-id", "SM7", *WHO, answer="y\n")
    assert told.returncode == 0
    assert "Settle this effect as accepted?" in told.stderr
    assert f"Effect {effect_id} was unknown, is accepted." in words(told)
    (view,) = lines(folder, "show", "desk:app", effect_id)
    assert (view["state"], view["provider_id"]) == ("accepted", "SM7")
    (row,) = view["audit"]
    assert (row["verb"], row["by"], row["reason"]) == ("settle", "anna@example.com", "seen in their log")


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_what_is_not_confirmed_is_not_done(folder: Path, answer: str) -> None:
    work(folder, "lost")
    (effect_id,) = ids(folder)
    told = duly(folder, "settle", "desk:app", effect_id, "--not-sent", *WHO, answer=answer)
    assert told.returncode == 3
    assert "nothing was done" in told.stderr
    (view,) = lines(folder, "show", "desk:app", effect_id)
    assert (view["state"], view["audit"]) == ("unknown", [])


def test_every_verb_changes_what_it_says(folder: Path) -> None:
    work(folder, "lost", "bad")
    work(folder, "later", wait_seconds=7_200)
    later, bad, lost = ids(folder)
    name = {"DULY_OPERATOR": "bob"}
    reason = ("--reason", "why", "--yes")
    assert duly(folder, "cancel", "desk:app", later, *reason, **name).returncode == 0
    resent = json.loads(duly(folder, "resend", "desk:app", bad, *reason, "--json", **name).stdout)
    settled = duly(folder, "settle", "desk:app", lost, "--not-sent", "--again", *reason, **name)
    assert "was unknown, is queued" in words(settled)
    work(folder)
    states = {view["id"]: (view["state"], view["resend_of"]) for view in lines(folder, "list", "desk:app")}
    assert states == {
        later: ("cancelled", None),
        bad: ("failed", None),
        lost: ("accepted", None),
        resent["resent_as"]: ("failed", bad),
    }


def test_many_are_counted_and_shown_before_they_are_done(folder: Path) -> None:
    work(folder, *(f"bad {n}" for n in range(12)), "fine")
    told = duly(folder, "resend", "desk:app", "--state", "failed", *WHO, answer="n\n")
    assert told.returncode == 3
    for part in ("12 effects to resend", "failed 12", "duly.sms 12", "… and 2 more", "Resend 12 effects?"):
        assert part in words(told)
    done = duly(folder, "resend", "desk:app", "--state", "failed", *WHO, "--yes")
    assert (done.returncode, "12 of 12 done" in done.stdout) == (0, True)
    again = duly(folder, "resend", "desk:app", "--state", "failed", *WHO, "--yes", "--json")
    assert (again.returncode, again.stdout) == (0, "")
    assert "No effect fits" in again.stderr
    assert len(ids(folder)) == 25


def test_of_many_those_that_do_not_fit_are_told_with_a_status_of_their_own(folder: Path) -> None:
    work(folder, "lost one", "bad two")
    told = duly(folder, "resend", "desk:app", "--state", "failed", "--state", "unknown", *WHO, "--yes")
    assert told.returncode == 4
    assert "1 of 2 done" in told.stdout
    assert "passed over: effect" in told.stdout
    assert "--even-if-twice" in told.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["show", "desk:app", "nope"], 1, "EffectNotFound: Tenant 'acme' has no effect 'nope'"),
        (["list", "desk:app", "--after", "nope"], 1, "is no cursor"),
        (["list", "desk:nobodys"], 2, "Add --tenant NAME"),
        (["list", "sqlite:///desk.db"], 2, "Add --tenant NAME"),
        (["list", "desk:app", "--tenant", "no tenant"], 1, "cannot name a tenant"),
        (["list", "sqlite:///elsewhere.db", "--tenant", "acme"], 2, "There is no file 'elsewhere.db'"),
        (["list", "shop.db", "--tenant", "acme"], 1, "names no store"),
        (["list", "nothing:app"], 2, "cannot be loaded"),
        (["list", "desk:app", "--since", "yesterday"], 2, "is no time"),
        (["cancel", "sqlite:///desk.db", "e", *WHO], 2, "is no application"),
        (["cancel", "desk:app", *WHO], 2, "Name an effect, or choose many by options"),
        (["cancel", "desk:app", "e", "--state", "held", *WHO], 2, "not both"),
        (["cancel", "desk:app", "e", "--by", "anna"], 2, "--reason"),
        (["cancel", "desk:app", "e", "--reason", "why"], 2, "--by"),
        (["cancel", "desk:app", "e", "--by", " ", "--reason", "why"], 1, "Say who orders it"),
        (["settle", "desk:app", "e", *WHO], 2, "--accepted or --not-sent"),
        (["settle", "desk:app", "e", "--accepted", "--not-sent", *WHO], 2, "--accepted or --not-sent"),
        (["settle", "desk:app", "--state", "unknown", "--accepted", "--provider-id", "1", *WHO], 2, "one effect"),
        (["resend", "desk:app", "--since", "1h", *WHO], 1, "name their states"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_sentence(folder: Path, arguments: list[str], status: int, text: str) -> None:
    work(folder)
    told = duly(folder, *arguments)
    assert text in words(told)
    assert (told.returncode, "Traceback" in words(told)) == (status, False)


def test_an_effect_that_has_moved_is_told_with_its_state(folder: Path) -> None:
    work(folder, "fine")
    told = duly(folder, "cancel", "desk:app", *ids(folder), *WHO, "--yes")
    assert told.returncode == 1
    assert "is accepted; cancel does not fit that" in words(told)
    assert not (folder / "elsewhere.db").exists()
