"""What nobody needs any more goes: command ids, and messages that were handled; never what is still promised."""

from __future__ import annotations

from datetime import timedelta

import pytest

from duly import Command, ConfigurationError, Duly, LogRetention, Module, RetrySchedule, Settings
from tests.scenarios.desk import shift_clock
from tests.scenarios.running import Start


class Note(Command):
    text: str


class Notes:
    """A module, and what it noted."""

    def __init__(self) -> None:
        self.module = Module("notes")
        self.noted: list[str] = []
        self.module.command(self.note)

    async def note(self, command: Note) -> None:
        self.noted.append(command.text)


async def test_what_was_handled_goes_after_its_time_and_what_waits_stays(start: Start) -> None:
    notes = Notes()
    app = await start(notes.module, log_retention=LogRetention(handled=timedelta(days=30)))
    await app.app.schedule(Note(text="soon"), at=timedelta(0), tenant="acme", command_id="n-1")
    await app.app.schedule(Note(text="in a year"), at=timedelta(days=365), tenant="acme", command_id="n-2")
    await app.quiet()
    tidied = await app.app.sweep_log()
    assert (tidied.command_ids, tidied.messages) == (0, 0)
    shift_clock(app, timedelta(days=31))
    tidied = await app.app.sweep_log()
    assert (tidied.command_ids, tidied.messages) == (2, 1)
    shift_clock(app, timedelta(days=340))
    await app.quiet()
    assert notes.noted == ["soon", "in a year"]
    tidied = await app.app.sweep_log()
    assert tidied.messages == 1


async def test_messages_are_kept_for_good_without_a_rule(start: Start) -> None:
    notes = Notes()
    app = await start(notes.module)
    await app.app.schedule(Note(text="soon"), at=timedelta(0), tenant="acme")
    await app.quiet()
    shift_clock(app, timedelta(days=3_000))
    assert (await app.app.sweep_log()).messages == 0


@pytest.mark.parametrize(
    ("handled", "said"),
    [
        (timedelta(0), "longer than zero"),
        (timedelta(minutes=1), "not longer than Settings.retry"),
        (timedelta(days=13), "shorter than Settings.inbox_keep"),
    ],
)
def test_a_time_that_is_too_short_is_refused_at_the_start(handled: timedelta, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Duly(modules=[], store="memory:", log_retention=LogRetention(handled=handled))


def test_command_ids_are_kept_longer_than_the_longest_retry() -> None:
    settings = Settings(retry=RetrySchedule((timedelta(days=20),)))
    with pytest.raises(ConfigurationError, match="inbox_keep"):
        Duly(modules=[], store="memory:", settings=settings)
