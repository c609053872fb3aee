"""The page of states shows what the running tables say."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Final
from xml.etree import ElementTree

import pytest

from duly.states.delivery import Delivery, Engagement
from duly.states.effect import BEGINNINGS, Dispatch
from duly.states.policy import Policy
from tests.docs.draw_replay import REPLAY_LAYOUT, replay_moves
from tests.docs.draw_states import (
    COMMAND,
    DELIVERY_LAYOUT,
    DISPATCH_LAYOUT,
    PAGE,
    ROOT,
    delivery_moves,
    dispatch_moves,
    drawings,
    filled,
)
from tests.docs.state_picture import Area, Layout, Pair, arrows, covered, ends_of, picture

PICTURES: Final = {
    "dispatch": (DISPATCH_LAYOUT, dispatch_moves()),
    "delivery": (DELIVERY_LAYOUT, delivery_moves()),
    "replay": (REPLAY_LAYOUT, replay_moves()),
}
TEXT: Final = (ROOT / PAGE).read_text()

pictures = pytest.mark.parametrize(("layout", "moves"), PICTURES.values(), ids=PICTURES)


@pytest.mark.parametrize("path", drawings())
def test_what_is_drawn_is_what_the_running_tables_say(path: str) -> None:
    drawn = (ROOT / path).read_text() if (ROOT / path).exists() else ""
    assert drawn == drawings()[path], f"{path} shows an older table. In the top folder, run: .venv/bin/{COMMAND}"


def test_a_changed_table_changes_the_picture_and_a_changed_rule_the_page() -> None:
    drawn = drawings()["docs/pictures/dispatch.svg"]
    begin = {state.value for state in BEGINNINGS}
    assert picture(DISPATCH_LAYOUT, dispatch_moves(), beginnings=begin) == drawn
    for move in dispatch_moves():
        assert picture(DISPATCH_LAYOUT, dispatch_moves() - {move}, beginnings=begin) != drawn
    assert picture(DISPATCH_LAYOUT, dispatch_moves() | {("failed", "queued")}, beginnings=begin) != drawn
    assert filled(TEXT.replace("An attempt ends", "An attempt stops")) == drawings()[PAGE]


def test_a_page_without_a_place_for_a_section_is_refused() -> None:
    with pytest.raises(ValueError, match="<!-- drawn: rules of delivery -->"):
        filled(TEXT.replace("<!-- drawn: rules of delivery -->", ""))


@pictures
def test_the_arrows_stand_for_every_move_and_for_no_other(layout: Layout, moves: set[Pair]) -> None:
    drawn = [move for arrow in arrows(layout, moves) for move in covered(layout, arrow)]
    assert set(drawn) == moves
    assert len(drawn) == len(moves)


@pictures
def test_no_route_or_group_is_left_over_from_an_older_table(layout: Layout, moves: set[Pair]) -> None:
    drawn = arrows(layout, moves)
    assert set(layout.routes) <= set(drawn)
    assert set(layout.grouped) <= set(drawn)


@pictures
def test_boxes_and_labels_lie_in_the_picture_and_not_upon_one_another(layout: Layout, moves: set[Pair]) -> None:
    whole = Area(0, 0, layout.width, layout.height)
    areas = {name: layout.area(name) for name in layout.places} | layout.label_areas()
    assert all(whole.holds(area) for area in areas.values())
    for (one, its), (other, others) in combinations(areas.items(), 2):
        assert not its.overlaps(others), f"{one} lies upon {other}"
    for frame in layout.frames.values():
        for name in layout.places:
            assert frame.area.holds(layout.area(name)) == (name in frame.members)
            assert frame.area.overlaps(layout.area(name)) == (name in frame.members)


@pictures
def test_arrows_begin_and_end_at_the_borders_of_their_boxes_and_no_two_at_one_point(
    layout: Layout, moves: set[Pair]
) -> None:
    points = []
    for arrow in arrows(layout, moves):
        for name, (x, y) in zip(arrow, ends_of(layout, arrow), strict=True):
            area = layout.area(name)
            assert (x in (area.left, area.right) and area.top <= y <= area.bottom) or (
                y in (area.top, area.bottom) and area.left <= x <= area.right
            )
            points.append((name, x, y))
    assert len(set(points)) == len(points)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_well_formed_and_says_in_words_what_it_shows(name: str) -> None:
    layout, moves = PICTURES[name]
    root = ElementTree.parse(ROOT / f"docs/pictures/{name}.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert root.findtext(f"{svg}title") == layout.title
    described = root.findtext(f"{svg}desc") or ""
    assert all(f"{source} to {target}" in described for source, target in moves)
    assert {text.text for text in root.iter(f"{svg}text")} >= set(layout.places)
    page = TEXT if name != "replay" else (ROOT / "docs/why-replay-cannot-send.md").read_text()
    assert f"](pictures/{name}.svg)" in page


@pytest.mark.parametrize("words", [Dispatch, Delivery, Policy], ids=lambda words: words.__name__)
def test_every_state_and_every_policy_has_its_row(words: type[Dispatch] | type[Delivery] | type[Policy]) -> None:
    for word in words:
        assert re.search(rf"^\| `{word.value}` \| \w", TEXT, re.MULTILINE), f"{PAGE} has no row for {word.value}"


def test_every_fact_of_engagement_is_named() -> None:
    assert all(f"`{fact.value}`" in TEXT for fact in Engagement)
