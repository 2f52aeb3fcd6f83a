"""Live figures: what a reader moves. Their JavaScript stands in ``assets/demos/``, whose README has the conventions."""

from __future__ import annotations

import json
from html import escape

import pandas as pd
from matplotlib.figure import Figure

from course_utils.notebook.page import drawn, shipped, show

# Two attributes keep a deck's swipes and JupyterLab's keys away.
ELEMENT = """<live-{name} class="live-figure mathjax_ignore" data-prevent-swipe data-lm-suppress-shortcuts="true"
 data-values="{values}">
<p>{alt}</p>
{table}
</live-{name}>
<script>
{frame}
</script>
<script>
{own}
</script>
"""


def demo(name: str, still: Figure, *, alt: str, table: pd.DataFrame | None = None, **data: object) -> None:
    """Show the live figure ``assets/demos/NAME.js``: one element that needs no other file and asks for none.

    It works on a page, in Colab, in JupyterLab and on a slide. Without JavaScript ``alt`` and ``table`` stand there.

    Args:
        name: of the file, ``"ten-places"``.
        still: how it looks at the start, for a printed page.
        alt: what it shows, with the answer to its question, at least 20 characters.
        table: the same in numbers, where words do not do.
        data: what the figure starts from: numbers, words and lists of them; round floats to the digits that matter.
    """
    values = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    html = ELEMENT.format(
        name=name,
        values=escape(values),
        alt=escape(alt),
        table="" if table is None else table.to_html(border=0),
        frame=shipped("assets/demos", "frame.js").strip(),
        own=shipped("assets/demos", f"{name}.js").strip(),
    )
    width = round(still.get_figwidth() * 100)
    show("Live figure", {"text/html": html, "image/png": drawn(still)}, alt=alt, width=width)
