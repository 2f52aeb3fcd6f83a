"""The dot plot of the page of benchmarks, drawn from its table; HTML, so that it fits a phone and the dark."""

from __future__ import annotations

from html import escape
from itertools import groupby
from math import log10
from pathlib import Path

LEFT, RIGHT = 0.01, 10.0  # both ends of the scale, in powers of ten
CAPTION = (
    "A dot is a ratio, ours over theirs, on a scale of powers of ten; its bar is the range, the stroke the goal."
    " Left of the line at 1 our code takes less time. The table below has the numbers."
)


def ratios_html(source: Path) -> str:
    """A row for each ratio of ``book/benchmarks.md``, under its question."""
    from benchmarks._timing import read_table  # of the project that is built

    ticks = (10.0**power for power in range(round(log10(LEFT)), round(log10(RIGHT)) + 1))
    scale = "".join(f'<span style="left:{_place(tick):.1f}%">{tick:g}</span>' for tick in ticks)
    lines = [f'<div class="scale"><span>ratio, ours / theirs</span><span class="track">{scale}</span></div>']
    for question, rows in groupby(read_table((source / "book/benchmarks.md").read_text()), lambda row: row.question):
        lines.append(f'<div class="question">{escape(question)}</div>')
        for row in rows:
            if row.ratio is None:
                continue
            low, middle, high = (_place(value) for value in (row.low, row.ratio, row.high))
            marks = f'<i class="range" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
            marks += f'<i class="goal" style="left:{_place(row.goal):.1f}%"></i>' if row.goal else ""
            marks += f'<i class="dot" style="left:{middle:.1f}%"></i>'
            sides = escape(f"{row.ours} / {row.theirs}")
            lines.append(f'<div class="row"><span>{sides}</span><span class="track">{marks}</span></div>')
    drawn = f'<div class="ratios" role="img" aria-label="Ratios as dots on one scale">{"".join(lines)}</div>'
    return f"<figure>{drawn}<figcaption>{CAPTION}</figcaption></figure>"


def _place(ratio: float) -> float:
    """Where a ratio lies between the ends of the scale, in per cent."""
    return 100 * (log10(min(max(ratio, LEFT), RIGHT)) - log10(LEFT)) / (log10(RIGHT) - log10(LEFT))
