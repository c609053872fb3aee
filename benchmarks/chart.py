"""A bar for each comparison: how far its target is reached. The line at 1 is the target. Plain SVG.

Where peers took part, a thin bar below it is the one that comes nearest to the same target.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.peers.records import PeerMeasured
from benchmarks.peers.table import best
from benchmarks.results import Records, Result
from benchmarks.series import Compared
from benchmarks.table import main_of, number

LABEL_PX = 260
BAR_PX = 360
ROW_PX = 24
SCORE_MAX = 2.0
VALUE_PX = 360
PEER_PX = 6
PEER_COLOUR = "#8a8f99"


def svg(records: Records) -> str:
    """The chart as a document; bars end at twice the target."""
    bars = list(_bars(records))
    height = ROW_PX * (len(bars) + 2)
    width = LABEL_PX + BAR_PX + VALUE_PX
    target_x = LABEL_PX + BAR_PX / SCORE_MAX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{target_x}" y="16" text-anchor="middle" fill="#444">target</text>',
    ]
    for place, (label, seen, peer) in enumerate(bars, 1):
        parts += _bar(label, seen, peer, place * ROW_PX)
    parts.append(f'<line x1="{target_x}" y1="20" x2="{target_x}" y2="{height - ROW_PX}" stroke="#444"/>')
    return "\n".join([*parts, "</svg>", ""])


def _bars(records: Records) -> Iterator[tuple[str, Compared, PeerMeasured | None]]:
    for key, record in records.items():
        if isinstance(record, Result):
            yield key, main_of(record), best(record.peers)
            for other in record.also:
                yield f"{key}, {other.name}", other, None


def _bar(label: str, seen: Compared, peer: PeerMeasured | None, top: int) -> list[str]:
    colour = "#2f7d4f" if seen.met else "#c0662b"
    value = f"{number(seen.ratio)} ({seen.target})"
    height = ROW_PX - 8
    beside: list[str] = []
    if peer is not None:
        height -= PEER_PX
        value += f"; {peer.name} {number(peer.main.ratio)}"
        beside = [_rect(top + 4 + height, peer.main.score, PEER_PX, PEER_COLOUR)]
    baseline = top + 15
    return [
        f'<text x="{LABEL_PX - 8}" y="{baseline}" text-anchor="end">{escape(label)}</text>',
        _rect(top + 4, seen.score, height, colour),
        *beside,
        f'<text x="{LABEL_PX + BAR_PX + 8}" y="{baseline}" fill="#444">{escape(value)}</text>',
    ]


def _rect(top: int, score: float, height: int, colour: str) -> str:
    width = max(1.0, min(score, SCORE_MAX) / SCORE_MAX * BAR_PX)
    return f'<rect x="{LABEL_PX}" y="{top}" width="{width:.1f}" height="{height}" fill="{colour}"/>'
