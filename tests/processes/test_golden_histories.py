"""Histories of processes, written down once, and run against the code of today."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Self

import msgspec
import pytest

from duly import Duly, Email, Module, Next, Personal, ProcessHistory, ProcessManager, Sms, TimedOut, starts, times_out
from duly.gateways.recording import RecordingGateway
from duly.testing.histories import HistoryDiffers, check_histories, write_history
from tests.scenarios.running import quick_settings
from tests.scenarios.welcoming import (
    Greet,
    Hasten,
    NoteSilence,
    Order,
    OrderedPublic,
    Register,
    Registered,
    Welcome,
    welcoming,
)


@pytest.fixture
async def app() -> AsyncIterator[Duly]:
    gateways = [RecordingGateway(Sms, Email)]
    async with Duly(
        modules=[welcoming], store="memory:", gateways=gateways, tenant="acme", settings=quick_settings()
    ) as started:
        yield started


@pytest.fixture
async def histories(app: Duly, tmp_path: Path) -> Path:
    """Two histories: of a welcome that gave up, and of one that was said."""
    await app.execute(Register(customer_id="ann"))
    await app.execute(Order(order_id="o-1", customer_id="ann"))
    await app.execute(Register(customer_id="bob"))
    await app.until_quiet()
    await app.execute(Hasten(customer_id="bob"))
    await app.until_quiet()
    for name in ("ann", "bob"):
        write_history(tmp_path / f"{name}.json", await app.processes().history(Welcome, name))
    return tmp_path


def test_the_code_that_wrote_histories_passes_them(histories: Path) -> None:
    assert check_histories(histories, Welcome) == 2


def test_a_history_holds_no_personal_data_unless_it_is_asked_for(histories: Path) -> None:
    assert "+491" not in (histories / "ann.json").read_text()


async def test_a_history_may_hold_what_is_made_up(app: Duly, histories: Path, tmp_path: Path) -> None:
    history = await app.processes().history(Welcome, "ann")
    write_history(tmp_path / "ann.json", history, personal=True)

    assert "+491" in (tmp_path / "ann.json").read_text()
    assert check_histories(histories, Welcome) == 2


class Impatient(ProcessManager, name="Welcome"):
    phone: Personal[str] = ""
    order_id: str = ""

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        return Next(self.changed(phone=event.phone), timeouts={"give_up": timedelta(hours=1)})

    @starts(key="customer_id")
    def ordered(self, event: OrderedPublic) -> Next[Self]:
        return Next(self, commands=[Greet(customer_id=self.id, order_id="?", phone=self.phone)])

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, commands=[NoteSilence(customer_id=self.id)], ends=True)


def test_code_that_decides_otherwise_is_told_of_the_first_step_with_the_difference(histories: Path) -> None:
    with pytest.raises(HistoryDiffers) as told:
        check_histories(histories, Impatient)

    text = str(told.value)
    assert text.startswith("ann.json: step 1, Registered at ")
    assert '-      "after_ms": 259200000' in text
    assert '+      "after_ms": 3600000' in text


class Deaf(ProcessManager, name="Welcome"):
    phone: Personal[str] = ""
    order_id: str = ""

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        return Next(self.changed(phone=event.phone), timeouts={"give_up": timedelta(days=3)})

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, ends=True)


def test_code_that_does_not_hear_what_was_heard_is_told(histories: Path) -> None:
    with pytest.raises(HistoryDiffers, match="step 2, OrderedPublic at .* cannot be heard any more"):
        check_histories(histories, Deaf)


class Grown(Welcome, name="Greeting", version=2, formerly=("Welcome",)):
    greetings: int = 0


def test_a_renamed_process_with_more_fields_passes_its_old_histories(histories: Path) -> None:
    assert check_histories(histories, Grown) == 2


class Recast(ProcessManager, name="Welcome", version=2):
    number: Personal[str] = ""
    bought: str = ""

    @starts(key="customer_id")
    def registered(self, event: Registered) -> Next[Self]:
        return Next(self.changed(number=event.phone), timeouts={"give_up": timedelta(days=3)})

    @starts(key="customer_id")
    def ordered(self, event: OrderedPublic) -> Next[Self]:
        greet = Greet(customer_id=self.id, order_id=event.order_id, phone=self.number)
        return Next(self.changed(bought=event.order_id), commands=[greet], cancels=["give_up"])

    @times_out("give_up")
    def gave_up(self, event: TimedOut) -> Next[Self]:
        return Next(self, ends=True)


def test_the_states_of_older_versions_are_upcast(histories: Path) -> None:
    (histories / "bob.json").unlink()
    module = Module("welcoming")
    with pytest.raises(HistoryDiffers, match="bought"):
        check_histories(histories, Recast, modules=[module])

    @module.upcasts(Recast, from_version=1)
    def bought(fields: dict[str, object]) -> dict[str, object]:
        return {"id": fields["id"], "bought": fields["order_id"]}

    assert check_histories(histories, Recast, modules=[module]) == 1


def test_a_folder_without_histories_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="holds no history of Welcome"):
        check_histories(tmp_path, Welcome)


async def test_a_history_that_was_written_down_reads_as_it_was(app: Duly, histories: Path) -> None:
    read = msgspec.json.decode((histories / "bob.json").read_bytes(), type=ProcessHistory)
    assert read == (await app.processes().history(Welcome, "bob")).without_personal()
