"""Live figures: what a reader moves. Their JavaScript stands in ``assets/demos/``, whose README has the conventions."""

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

    It works on a page, in Colab, in JupyterLab and on a slide. ``still`` is how it looks at the start, for a printed
    page. Without JavaScript ``alt`` stands there, what it shows and the answer to its question, 20 characters or more,
    and ``table``, the same in numbers where words do not do. ``data`` is what the figure starts from: numbers, words
    and lists of them; round floats to the digits that matter.
    """
    values = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    shown = "" if table is None else table.to_html(border=0)
    frame, own = (shipped("assets/demos", f"{script}.js").strip() for script in ("frame", name))
    html = ELEMENT.format(name=name, values=escape(values), alt=escape(alt), table=shown, frame=frame, own=own)
    width = round(still.get_figwidth() * 100)
    show("Live figure", {"text/html": html, "image/png": drawn(still)}, alt=alt, width=width)
