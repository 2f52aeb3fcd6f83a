"""The dot plot of the page of benchmarks, drawn from the records; HTML, so that it fits a phone and the dark."""

from __future__ import annotations

from html import escape
from itertools import groupby
from math import log10
from pathlib import Path

LEFT, RIGHT = 0.01, 10.0  # both ends of the scale, in powers of ten
CAPTION = (
    "A full dot is a ratio, ours over theirs, on a scale of powers of ten, on the machine of the newest run; its bar is"
    " the range, the stroke the goal. A ring is the same on another machine. Left of the line at 1 our code takes less"
    " time. The table below has the numbers."
)


def ratios_html(source: Path) -> str:
    """A row for each ratio of ``benchmarks/machines``, under its question."""
    from tools.project.bench import records  # of the project that is built

    newest, *others = records(source / "benchmarks" / "machines")
    elsewhere = {(row.question, row.sides): row for run in others for row in run.rows if row.ratio is not None}
    ticks = (10.0**power for power in range(round(log10(LEFT)), round(log10(RIGHT)) + 1))
    scale = "".join(f'<span style="left:{_place(tick):.1f}%">{tick:g}</span>' for tick in ticks)
    lines = [f'<div class="scale"><span>ratio, ours / theirs</span><span class="track">{scale}</span></div>']
    for question, rows in groupby(newest.rows, lambda row: row.question):
        lines.append(f'<div class="question">{escape(question)}</div>')
        for row in rows:
            if row.ratio is None:
                continue
            low, middle, high = (_place(value) for value in (row.low, row.ratio, row.high))
            marks = f'<i class="range" style="left:{low:.1f}%;width:{high - low:.1f}%"></i>'
            marks += f'<i class="goal" style="left:{_place(row.goal):.1f}%"></i>' if row.goal else ""
            if other := elsewhere.get((question, row.sides)):
                marks += f'<i class="dot other" style="left:{_place(other.ratio):.1f}%"></i>'
            marks += f'<i class="dot" style="left:{middle:.1f}%"></i>'
            lines.append(f'<div class="row"><span>{escape(row.sides)}</span><span class="track">{marks}</span></div>')
    drawn = f'<div class="ratios" role="img" aria-label="Ratios as dots on one scale">{"".join(lines)}</div>'
    return f"<figure>{drawn}<figcaption>{CAPTION}</figcaption></figure>"


def _place(ratio: float) -> float:
    """Where a ratio lies between the ends of the scale, in per cent."""
    return 100 * (log10(min(max(ratio, LEFT), RIGHT)) - log10(LEFT)) / (log10(RIGHT) - log10(LEFT))
