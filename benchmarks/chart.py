"""A bar for each comparison: how far its target is reached. The line at 1 is the target. Plain SVG."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from benchmarks.results import Records, Result
from benchmarks.series import Compared
from benchmarks.table import main_of, number

LABEL_PX = 260
BAR_PX = 360
ROW_PX = 24
SCORE_MAX = 2.0


def svg(records: Records) -> str:
    """The chart as a document; bars end at twice the target."""
    bars = list(_bars(records))
    height = ROW_PX * (len(bars) + 2)
    width = LABEL_PX + BAR_PX + 180
    target_x = LABEL_PX + BAR_PX / SCORE_MAX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{target_x}" y="16" text-anchor="middle" fill="#444">target</text>',
    ]
    for place, (label, seen) in enumerate(bars, 1):
        parts += _bar(label, seen, place * ROW_PX)
    parts.append(f'<line x1="{target_x}" y1="20" x2="{target_x}" y2="{height - ROW_PX}" stroke="#444"/>')
    return "\n".join([*parts, "</svg>", ""])


def _bars(records: Records) -> Iterator[tuple[str, Compared]]:
    for key, record in records.items():
        if isinstance(record, Result):
            yield key, main_of(record)
            for other in record.also:
                yield f"{key}, {other.name}", other


def _bar(label: str, seen: Compared, top: int) -> list[str]:
    width = max(1.0, min(seen.score, SCORE_MAX) / SCORE_MAX * BAR_PX)
    colour = "#2f7d4f" if seen.met else "#c0662b"
    value = f"{number(seen.ratio)} ({seen.target})"
    baseline = top + 15
    return [
        f'<text x="{LABEL_PX - 8}" y="{baseline}" text-anchor="end">{escape(label)}</text>',
        f'<rect x="{LABEL_PX}" y="{top + 4}" width="{width:.1f}" height="{ROW_PX - 8}" fill="{colour}"/>',
        f'<text x="{LABEL_PX + BAR_PX + 8}" y="{baseline}" fill="#444">{escape(value)}</text>',
    ]
