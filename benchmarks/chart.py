"""The results as a picture: bars in SVG, legible on light and on dark ground."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from benchmarks.database import NIGHTS
from benchmarks.race import WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.results import Results

WIDTH, LABELS, MARGIN = 880, 330, 24
BAR, GAP, TITLE = 22, 12, 58
ROOM_FOR_A_NUMBER = 130
TIMES = "\u00d7"
# The ways into PostgreSQL with this project's loader.
OWN = {"tap", "tap-8"}
# The picture brings its own ground: where it is shown need not be of the colour that the browser prefers.
STYLE = """
svg { font: 14px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
.ground { fill: #ffffff; stroke: #d0d7de } .text { fill: #1f2328 } .unit { fill: #59636e; font-size: 12px }
.title { font-size: 16px; font-weight: 600 } .own { fill: #1a7f37 } .other { fill: #8c959f }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #3d444d } .text { fill: #f0f6fc } .unit { fill: #9198a1 }
.own { fill: #3fb950 } .other { fill: #6e7681 } }
"""


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        label: What it is of.
        value: How long it is.
        note: What stands at its end.
        own: Whether it is this project's.
    """

    label: str
    value: float
    note: str
    own: bool


@dataclass(frozen=True)
class Panel:
    """Bars of one unit.

    Attributes:
        title: What they show.
        unit: In which unit, and of what.
        bars: The bars, from the best to the worst.
    """

    title: str
    unit: str
    bars: Sequence[Bar]


def chart(results: Results) -> str:
    """Draw processor time per record, and time into PostgreSQL."""
    panels = list(_panels(results))
    heights = [TITLE + len(panel.bars) * (BAR + GAP) + MARGIN for panel in panels]
    height = sum(heights) + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="about">',
        f'<title id="about">{escape("; ".join(panel.title for panel in panels))}</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
    ]
    top = MARGIN
    for panel, tall in zip(panels, heights, strict=True):
        lines += _draw(panel, top)
        top += tall
    return "\n".join([*lines, "</svg>", ""])


def _panels(results: Results) -> Iterator[Panel]:
    names = sorted({run.contender for run in results.runs if run.leg == WHOLE}, key=results.microseconds)
    if names:
        bars = [
            Bar(
                _plain(results.titles[name]),
                results.microseconds(name),
                f"{results.microseconds(name):.0f} µs ({results.ratio(name):.2f}{TIMES})",
                name.startswith("tap"),
            )
            for name in names
        ]
        count = f"{results.charges():,}"
        unit = f"microseconds of CPU a charge of 61 fields, start-up subtracted ({count} charges; bare loop = 1)"
        yield Panel("What a record costs", unit, bars)
    for night in NIGHTS if results.loads else ():
        bars = [
            Bar(
                _plain(results.titles[f"{name} into PostgreSQL"]),
                results.load_seconds(name, night.name),
                f"{results.load_seconds(name, night.name):.1f} s ({results.load_ratio(name, night.name):.2f}{TIMES})",
                name in OWN,
            )
            for name in results.loaders(night.name)
        ]
        charges = f"{results.loaded(night.name).charges:,}"
        yield Panel(f"Into PostgreSQL, {night.title}", f"seconds for {charges} charges, start to end (dlt = 1)", bars)


def _draw(panel: Panel, top: int) -> Iterator[str]:
    yield f'<text class="text title" x="{MARGIN}" y="{top + 16}">{escape(panel.title)}</text>'
    yield f'<text class="unit" x="{MARGIN}" y="{top + 36}">{escape(panel.unit)}</text>'
    scale = (WIDTH - LABELS - ROOM_FOR_A_NUMBER - MARGIN) / max(bar.value for bar in panel.bars)
    for number, bar in enumerate(panel.bars):
        y = top + TITLE + number * (BAR + GAP)
        length, baseline = max(bar.value * scale, 2), y + BAR * 0.7
        kind = "own" if bar.own else "other"
        yield f'<text class="text" x="{LABELS - 10}" y="{baseline:.1f}" text-anchor="end">{escape(bar.label)}</text>'
        yield f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>'
        yield f'<text class="text" x="{LABELS + length + 8:.1f}" y="{baseline:.1f}">{escape(bar.note)}</text>'


def _plain(title: str) -> str:
    """Take the marks of Markdown out of a title."""
    return re.sub(r"[*`]", "", title)
