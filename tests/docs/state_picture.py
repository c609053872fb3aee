"""Draws a table of moves as SVG: places by hand, arrows from the table. Pure: text comes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final, TypeAlias

BOX_WIDTH: Final = 124
BOX_HEIGHT: Final = 38
HEAD: Final = 9
LABEL_SIZE: Final = 12
FONT: Final = "font-family=\"'Segoe UI', Helvetica, Arial, 'DejaVu Sans', sans-serif\""
COLOURS: Final = {
    "waiting": ("#e8f1fb", "#2f6299"),
    "calling": ("#fff6d6", "#8a6900"),
    "unknown": ("#fde8d7", "#b35900"),
    "good": ("#e3f4e4", "#2e7d32"),
    "bad": ("#fbe3e4", "#b3262e"),
    "closed": ("#eeeeee", "#555555"),
}
"""What a kind of state is filled and framed with."""

Point: TypeAlias = tuple[float, float]
Pair: TypeAlias = tuple[str, str]
NORMALS: Final[dict[str, Point]] = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}


@dataclass(frozen=True)
class Area:
    """A rectangle: of a state, of a frame around states, or of a label."""

    left: float
    top: float
    right: float
    bottom: float

    def port(self, side: str, fraction: float) -> Point:
        """A point of the border, *fraction* of the way along a side: rightwards, or downwards."""
        x = {"left": self.left, "right": self.right}.get(side, self.left + fraction * (self.right - self.left))
        y = {"top": self.top, "bottom": self.bottom}.get(side, self.top + fraction * (self.bottom - self.top))
        return x, y

    def overlaps(self, other: Area) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Area) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclass(frozen=True)
class Place:
    """Where the middle of a state's box is, and its kind."""

    x: float
    y: float
    kind: str


@dataclass(frozen=True)
class Frame:
    """States that are framed together; where all of them have the same move, it is drawn once."""

    title: str
    members: tuple[str, ...]
    area: Area


@dataclass(frozen=True)
class Route:
    """How an arrow runs, and what is written at it; `label_at` is the label's middle."""

    start: tuple[str, float]
    end: tuple[str, float]
    label: str = ""
    label_at: Point = (0, 0)
    reach: float | None = None
    """How far the curve runs straight on; None: in proportion to its length."""


@dataclass(frozen=True)
class Layout:
    """What is decided by hand. A move without a route is drawn all the same, from side to side."""

    title: str
    width: int
    height: int
    places: Mapping[str, Place]
    frames: Mapping[str, Frame] = field(default_factory=dict)
    grouped: tuple[Pair, ...] = ()
    """Which frames and states may share an arrow."""
    routes: Mapping[Pair, Route] = field(default_factory=dict)

    def members(self, name: str) -> tuple[str, ...]:
        """The states of a frame, or the one state."""
        return self.frames[name].members if name in self.frames else (name,)

    def area(self, name: str) -> Area:
        """The rectangle of a frame or of a state."""
        if name in self.frames:
            return self.frames[name].area
        place = self.places[name]
        half_width, half_height = BOX_WIDTH / 2, BOX_HEIGHT / 2
        return Area(place.x - half_width, place.y - half_height, place.x + half_width, place.y + half_height)

    def label_areas(self) -> dict[str, Area]:
        """About how much room each label takes."""
        found = {}
        for route in self.routes.values():
            (x, y), half = route.label_at, len(route.label) * LABEL_SIZE * 0.26
            if route.label:
                found[route.label] = Area(x - half, y - LABEL_SIZE / 2, x + half, y + LABEL_SIZE / 2)
        return found


def covered(layout: Layout, arrow: Pair) -> set[Pair]:
    """The moves that an arrow stands for."""
    source, target = arrow
    return {(one, other) for one in layout.members(source) for other in layout.members(target)}


def arrows(layout: Layout, moves: set[Pair]) -> list[Pair]:
    """The arrows that show exactly these moves: shared ones where every move of a group is legal, and single ones."""
    shared = [arrow for arrow in layout.grouped if covered(layout, arrow) <= moves]
    left = moves - {move for arrow in shared for move in covered(layout, arrow)}
    order = list(layout.places)
    return shared + sorted(left, key=lambda move: (order.index(move[0]), order.index(move[1])))


def route_of(layout: Layout, arrow: Pair) -> Route:
    """The route that was decided on, or the one from side to side."""
    if arrow in layout.routes:
        return layout.routes[arrow]
    one, other = layout.area(arrow[0]), layout.area(arrow[1])
    across, down = other.left + other.right - one.left - one.right, other.top + other.bottom - one.top - one.bottom
    if abs(across) >= abs(down):
        return Route(("right", 0.5), ("left", 0.5)) if across > 0 else Route(("left", 0.5), ("right", 0.5))
    return Route(("bottom", 0.5), ("top", 0.5)) if down > 0 else Route(("top", 0.5), ("bottom", 0.5))


def ends_of(layout: Layout, arrow: Pair) -> tuple[Point, Point]:
    """Where an arrow begins and where its point is."""
    route = route_of(layout, arrow)
    return layout.area(arrow[0]).port(*route.start), layout.area(arrow[1]).port(*route.end)


def picture(layout: Layout, moves: set[Pair], *, beginnings: set[str]) -> str:
    """The whole picture. States without a move have a double border; a dot leads to those that are beginnings."""
    moving = {source for source, _ in moves}
    drawn = arrows(layout, moves)
    told = "; ".join(f"{source} to {target}" for source, target in sorted(moves))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {layout.height}" '
        f'width="{layout.width}" height="{layout.height}" role="img" {FONT}>',
        f"<title>{escape(layout.title)}</title>",
        f"<desc>Moves: {escape(told)}.</desc>",
        f'<rect width="{layout.width}" height="{layout.height}" rx="10" fill="#ffffff"/>',
        *(line for frame in layout.frames.values() for line in _frame(frame)),
        *(line for arrow in drawn for line in _arrow(layout, arrow)),
        *(line for name in layout.places if name in beginnings for line in _beginning(layout.area(name))),
        *(line for name in layout.places for line in _box(layout, name, is_final=name not in moving)),
        *(line for arrow in drawn for line in _label(route_of(layout, arrow))),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _frame(frame: Frame) -> Iterator[str]:
    area = frame.area
    yield (
        f'<rect x="{area.left:g}" y="{area.top:g}" width="{area.right - area.left:g}" '
        f'height="{area.bottom - area.top:g}" rx="12" fill="#fafafa" stroke="#999999" stroke-dasharray="5 4"/>'
    )
    yield (
        f'<text x="{area.left + 12:g}" y="{area.top + 19:g}" font-size="{LABEL_SIZE}" fill="#555555">'
        f"{escape(frame.title)}</text>"
    )


def _box(layout: Layout, name: str, *, is_final: bool) -> Iterator[str]:
    area, place = layout.area(name), layout.places[name]
    fill, stroke = COLOURS[place.kind]
    yield (
        f'<rect x="{area.left:g}" y="{area.top:g}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" rx="8" '
        f'fill="{fill}" stroke="{stroke}" stroke-width="1.5"/>'
    )
    if is_final:
        yield (
            f'<rect x="{area.left + 3.5:g}" y="{area.top + 3.5:g}" width="{BOX_WIDTH - 7}" '
            f'height="{BOX_HEIGHT - 7}" rx="5" fill="none" stroke="{stroke}"/>'
        )
    yield (
        f'<text x="{place.x:g}" y="{place.y + 5:g}" font-size="14" text-anchor="middle" fill="#111111">'
        f"{escape(name)}</text>"
    )


def _beginning(area: Area) -> Iterator[str]:
    """A dot to the left of a box, and an arrow from it."""
    x, y = area.port("left", 0.5)
    yield f'<circle cx="{x - 38:g}" cy="{y:g}" r="6" fill="#111111"/>'
    yield from _line((x - 32, y), (x - 32 + 4, y), (x, y), (1, 0))


def _arrow(layout: Layout, arrow: Pair) -> Iterator[str]:
    """A curve that leaves and reaches its boxes at right angles."""
    route = route_of(layout, arrow)
    (x, y), (to_x, to_y) = ends_of(layout, arrow)
    out, back = NORMALS[route.start[0]], NORMALS[route.end[0]]
    reach = route.reach or max(14.0, 0.42 * max(abs(to_x - x), abs(to_y - y)))
    bend = (to_x + back[0] * reach, to_y + back[1] * reach)
    yield from _line((x, y), (x + out[0] * reach, y + out[1] * reach), (to_x, to_y), (-back[0], -back[1]), bend)


def _line(start: Point, first: Point, end: Point, into: Point, second: Point | None = None) -> Iterator[str]:
    """A curve from *start* to *end*, and its head; *into* is the direction in which it arrives."""
    base = (end[0] - into[0] * HEAD, end[1] - into[1] * HEAD)
    bend = second or base
    yield (
        f'<path d="M {start[0]:g} {start[1]:g} C {first[0]:.4g} {first[1]:.4g} {bend[0]:.4g} {bend[1]:.4g} '
        f'{base[0]:g} {base[1]:g}" fill="none" stroke="#444444" stroke-width="1.4"/>'
    )
    aside = (-into[1] * HEAD * 0.45, into[0] * HEAD * 0.45)
    points = (end, (base[0] + aside[0], base[1] + aside[1]), (base[0] - aside[0], base[1] - aside[1]))
    yield f'<polygon points="{" ".join(f"{x:g},{y:g}" for x, y in points)}" fill="#444444"/>'


def _label(route: Route) -> Iterator[str]:
    """What is written at an arrow."""
    if route.label:
        x, y = route.label_at
        yield (
            f'<text x="{x:g}" y="{y + 4:g}" font-size="{LABEL_SIZE}" text-anchor="middle" fill="#222222">'
            f"{escape(route.label)}</text>"
        )
