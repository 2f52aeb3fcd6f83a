"""The desk that every notebook sits at: set-up, figures with alt text, diagrams, live figures, glue, progress."""

import base64
import io
import json
import random
from collections.abc import Iterable
from html import escape
from importlib import resources
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from course_utils.data import settings
from course_utils.errors import InputError
from course_utils.notebook.plots import DPI, use_style

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


def setup(seed: int = 0, *, threads: int | None = None, dtype: torch.dtype = torch.float64) -> None:
    """Make a notebook reproducible: the first call of every chapter.

    Seeds Python, NumPy and torch, asks torch for deterministic algorithms, and sets the book's plot and table style.
    In float64 every CPU agrees on a training run to about eight digits; in float32 the third digit of an error can
    depend on the processor. ``threads`` left out is ``COURSE_THREADS`` of the environment, or torch's own choice.
    """
    count = settings.threads(threads)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries that use NumPy's global generator exist
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(dtype)
    if count is not None:
        torch.set_num_threads(count)
    torch.set_printoptions(precision=4, sci_mode=False)
    pd.set_option("display.precision", 4)
    use_style()


def figure(fig: Figure, *, alt: str) -> None:
    """Show a matplotlib figure once, on white (or what a style of yours has).

    ``alt`` is what a reader who cannot see the picture has to know, at least 20 characters.
    """
    show("Figure", {"image/png": drawn(fig)}, alt=alt, width=round(fig.get_figwidth() * 100))


def diagram(name: str, *, alt: str) -> None:
    """Show one of the book's diagrams, ``figs/NAME.svg``, with alt text as for :func:`figure`."""
    show("Diagram", {"image/svg+xml": shipped("figs", f"{name}.svg")}, alt=alt)


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


def glue(name: str, value: float | int | str) -> None:
    """Keep a value under a name, unique within the book, for its pages to print: the record that myst-nb reads."""
    value = value.item() if hasattr(value, "item") else value  # a scalar of NumPy or torch
    prefix = "application/papermill.record/"
    record = {"name": name, "mime_prefix": prefix}
    display({f"{prefix}text/plain": repr(value)}, raw=True, metadata={"scrapbook": record})


def say(text: str) -> None:
    """Show prose with computed numbers in it: Markdown, made by a cell so that the numbers are checked."""
    display(Markdown(text))


def progress(iterable: Iterable, description: str, *, total: int | None = None) -> tqdm:
    """A progress bar for anything over two seconds; silent where ``TQDM_DISABLE`` is set, and gone when done."""
    return tqdm(iterable, desc=description, total=total, leave=False, disable=settings.silent())


def results(name: str) -> pd.DataFrame:
    """The committed table ``results/NAME.csv``, which ``experiments/`` made."""
    return pd.read_csv(io.StringIO(shipped("results", f"{name}.csv")))


def drawn(fig: Figure) -> str:
    """A matplotlib figure, closed, as base64 PNG on an opaque ground."""
    buffer, opaque = io.BytesIO(), io.BytesIO()
    ground = fig.get_facecolor()
    ground = ground if ground[3] == 1 else "white"  # a dark style writes in white: then not on white
    fig.savefig(buffer, format="png", dpi=DPI, facecolor=ground)
    plt.close(fig)
    Image.open(buffer).convert("RGB").save(opaque, "PNG", optimize=True)  # an eighth smaller
    return base64.b64encode(opaque.getvalue()).decode()


def show(kind: str, data: dict[str, str], *, alt: str, **size: int) -> None:
    """Show one thing in its forms, ``{mime: data}``; each picture among them gets the alt text, and its size."""
    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise InputError("alt", got=repr(alt), expected="a sentence that says what the picture shows")
    metadata = {mime: {"alt": alt, **size} for mime in data if mime.startswith("image/")}
    display({**data, "text/plain": f"{kind}: {alt}"}, raw=True, metadata=metadata)


def shipped(folder: str, file: str) -> str:
    """Text of a file of figs/, results/ or assets/demos/: from the installed wheel, or from the checkout beside it."""
    checkout = Path(__file__).resolve().parents[3] / folder / file
    for place in (resources.files("course_utils") / folder / file, checkout):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise InputError("name", got=repr(Path(file).stem), expected=f"a file {folder}/{file}")
