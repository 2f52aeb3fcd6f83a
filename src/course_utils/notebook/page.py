"""The desk that every notebook sits at: set-up, figures with alt text, diagrams, glue, progress."""

from __future__ import annotations

import base64
import io
import random
from collections.abc import Iterable
from importlib import resources
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from tqdm import tqdm

from course_utils.data import settings
from course_utils.errors import InputError
from course_utils.notebook.plots import DPI, use_style


def setup(
    seed: int = 0,
    *,
    threads: int | None = None,
    dtype: torch.dtype = torch.float64,
) -> None:
    """Make a notebook reproducible: the first call of every chapter.

    Seeds Python, NumPy and torch, asks torch for deterministic algorithms, sets the default floating type, and
    sets the book's plot and table style. In float64 every CPU agrees on a training run to about eight digits; in
    float32 the third digit of an error can depend on the processor.

    Args:
        seed: seed of all three random generators.
        threads: number of torch threads; the environment variable ``COURSE_THREADS``, or torch's own choice, when
            left out.
        dtype: default type of new floating tensors.

    Raises:
        InputError: the number of threads, as given or in the environment, is none that a machine can have.
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
    """Show a matplotlib figure with alt text, at the book's size, on white (or what a style of yours has).

    Args:
        fig: the figure; it is closed afterwards, so that it is not shown twice.
        alt: what a reader who cannot see the picture has to know, at least 20 characters.

    Raises:
        InputError: the alt text is missing or too short to say anything.
    """
    _check_alt(alt)
    buffer = io.BytesIO()
    ground = fig.get_facecolor()  # a dark style writes in white: then not on white
    ground = ground if ground[3] == 1 else "white"
    fig.savefig(buffer, format="png", dpi=DPI, facecolor=ground, metadata={"Software": None})
    plt.close(fig)
    width = round(fig.get_figwidth() * 100)
    _display(
        "image/png",
        base64.b64encode(buffer.getvalue()).decode(),
        f"Figure: {alt}",
        {"alt": alt, "width": width},
    )


def diagram(name: str, *, alt: str) -> None:
    """Show one of the book's diagrams, ``figs/NAME.svg``, with alt text.

    Args:
        name: file name without its ending.
        alt: as for :func:`figure`.

    Raises:
        InputError: there is no such diagram, or the alt text is too short.
    """
    _check_alt(alt)
    _display("image/svg+xml", _shipped("figs", f"{name}.svg"), f"Diagram: {alt}", {"alt": alt})


def glue(name: str, value: float | int | str) -> None:
    """Keep a value of this notebook under a name, for pages of the book to print; shows nothing.

    Writes the record that myst-nb reads, without needing myst-nb: it works in Colab too.

    Args:
        name: unique within the book.
        value: a plain number or text; NumPy and torch scalars are converted.
    """
    value = value.item() if hasattr(value, "item") else value
    prefix = "application/papermill.record/"
    display(
        {f"{prefix}text/plain": repr(value)},
        raw=True,
        metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def say(text: str) -> None:
    """Show prose with computed numbers in it: Markdown, made by a cell so that the numbers are checked."""
    display(Markdown(text))


def progress(iterable: Iterable, description: str, *, total: int | None = None) -> tqdm:
    """A progress bar for anything over two seconds; silent where ``TQDM_DISABLE`` is set, and gone when done."""
    return tqdm(iterable, desc=description, total=total, leave=False, disable=settings.silent())


def results(name: str) -> pd.DataFrame:
    """The committed table ``results/NAME.csv``, which ``experiments/`` made.

    Raises:
        InputError: there is no such table.
    """
    return pd.read_csv(io.StringIO(_shipped("results", f"{name}.csv")))


def _check_alt(alt: str) -> None:
    if not isinstance(alt, str) or len(alt.strip()) < 20:
        raise InputError("alt", got=repr(alt), expected="a sentence that says what the picture shows")


def _display(mime: str, data: str, plain: str, metadata: dict[str, object]) -> None:
    display({mime: data, "text/plain": plain}, raw=True, metadata={mime: metadata})


def _shipped(folder: str, file: str) -> str:
    """Text of a file of figs/ or results/: from the installed wheel, or from the checkout beside it."""
    checkout = Path(__file__).resolve().parents[3] / folder / file
    for place in (resources.files("course_utils") / folder / file, checkout):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise InputError("name", got=repr(Path(file).stem), expected=f"a file {folder}/{file}")
