"""A panel for each curve of what scales, from nothing to its highest point; x values side by side. Plain SVG."""

from __future__ import annotations

from html import escape

from benchmarks.results import Records, Scaled
from benchmarks.scaling import Curve
from benchmarks.table import number

PANEL_WIDTH_PX = 300
PANEL_HEIGHT_PX = 190
PANELS_PER_ROW = 3
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 20, 20, 50, 40


def scale_svg(records: Records) -> str:
    """The chart as a document."""
    curves = [curve for record in records.values() if isinstance(record, Scaled) for curve in record.curves]
    width = PANEL_WIDTH_PX * PANELS_PER_ROW
    height = PANEL_HEIGHT_PX * max(1, -(-len(curves) // PANELS_PER_ROW))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, curve in enumerate(curves):
        row, column = divmod(place, PANELS_PER_ROW)
        parts += [
            f'<g transform="translate({column * PANEL_WIDTH_PX} {row * PANEL_HEIGHT_PX})">',
            *_panel(curve),
            "</g>",
        ]
    return "\n".join([*parts, "</svg>", ""])


def _panel(curve: Curve) -> list[str]:
    bottom = PANEL_HEIGHT_PX - BOTTOM_PX
    highest = max(point.max for point in curve.points)
    step = (PANEL_WIDTH_PX - LEFT_PX - RIGHT_PX) / len(curve.points)
    parts = [
        f'<text x="{LEFT_PX}" y="20" font-weight="bold">{escape(curve.name)}: {escape(curve.unit)}</text>',
        f'<line x1="{LEFT_PX}" y1="{bottom}" x2="{PANEL_WIDTH_PX - RIGHT_PX}" y2="{bottom}" stroke="#444"/>',
        f'<text x="{PANEL_WIDTH_PX - RIGHT_PX}" y="{bottom + 30}" text-anchor="end" fill="#444">'
        f"{escape(curve.of)}</text>",
    ]
    line: list[str] = []
    for place, point in enumerate(curve.points):
        x = LEFT_PX + step * (place + 0.5)
        y, top, low = (bottom - value / highest * (bottom - TOP_PX) for value in (point.value, point.max, point.min))
        line.append(f"{x:.1f},{y:.1f}")
        parts += [
            f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{low:.1f}" stroke="#9bbfa9" stroke-width="3"/>',
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#2f7d4f"/>',
            f'<text x="{x:.1f}" y="{top - 6:.1f}" text-anchor="middle">{number(point.value)}</text>',
            f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle" fill="#444">{point.x:,}</text>',
        ]
    return [*parts, f'<polyline points="{" ".join(line)}" fill="none" stroke="#2f7d4f"/>']
