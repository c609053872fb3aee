"""R09 on SQLite, where no transaction can overtake another: what is left of it holds."""

from __future__ import annotations

from random import SystemRandom

from tests.reliability.play import play
from tests.reliability.r09_commit_order import R09


async def test_with_one_writer_nothing_is_lost_and_what_was_taken_back_leaves_no_gap() -> None:
    seed = SystemRandom().randrange(10_000)
    told = await play(R09, "sqlite", R09.tier_1, seed, None)
    assert told.failures == (), f"seed {seed}"
    assert told.figures["commits overtaken"] == "0"
