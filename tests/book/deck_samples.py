"""Notebooks for the tests of the decks, made by code: one rich lecture, and small ones with one fault each."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from course_utils.notebook.plots import DPI, PALETTE, use_style

TITLE = """# 3. Evaluation

You will be able to say which of two recommenders is better, and how sure you are.

[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/x.ipynb)"""
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 720 300" width="720" height="300">
<g font-family="DejaVu Sans, sans-serif" font-size="20" text-anchor="middle" fill="#1b2733">
<g fill="#EAF2F9" stroke="#0B4F8A" stroke-width="2"><rect x="10" y="100" width="170" height="90" rx="12"/>
<rect x="275" y="100" width="170" height="90" rx="12"/><rect x="540" y="100" width="170" height="90" rx="12"/></g>
<text x="95" y="152">ratings</text><text x="360" y="152">model</text><text x="625" y="152">top ten</text>
<g stroke="#C44E00" stroke-width="3" fill="none"><path d="M185 145h80m-14-10l14 10l-14 10"/>
<path d="M450 145h80m-14-10l14 10l-14 10"/></g></g></svg>"""


def markdown(source: str, slide_type: str | None = None, *tags: str, **keys: str):
    """A Markdown cell; `keys` are `notes` and `text`."""
    return _placed(new_markdown_cell(source), slide_type, tags, keys)


def code(source: str, slide_type: str | None = None, *tags: str, outputs=(), **keys: str):
    """A code cell that ran."""
    return _placed(new_code_cell(source, outputs=list(outputs), execution_count=1), slide_type, tags, keys)


def _placed(cell, slide_type, tags, keys):
    if slide_type is not None:
        cell.metadata["slideshow"] = {"slide_type": slide_type, **keys}
    if tags:
        cell.metadata["tags"] = list(tags)
    return cell


def stdout(text: str):
    return new_output("stream", name="stdout", text=text)


def shown(mime: str, data: str, alt: str | None = None):
    """A display output; with `alt` in its metadata as `course_utils.notebook` writes it."""
    return new_output("display_data", {mime: data}, metadata={} if alt is None else {mime: {"alt": alt}})


def picture(alt: str | None = "Bars of NDCG at ten for three models: EASE is highest"):
    """A figure of the book's size, as PNG."""
    use_style()
    fig, ax = plt.subplots()
    users = np.arange(1, 31)
    for slope, label in zip((0.9, 0.6, 0.45), ("EASE", "item kNN", "popularity"), strict=True):
        ax.plot(users, 0.4 * (1 - np.exp(-slope * users / 8)), label=label)
    ax.set(title="More history helps every model", xlabel="ratings of a user in training", ylabel="NDCG@10")
    ax.axvline(8, color=PALETTE[5], linewidth=1)
    ax.legend()
    buffer = io.BytesIO()
    fig.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    plt.close(fig)
    return shown("image/png", base64.b64encode(buffer.getvalue()).decode(), alt)


def table(rows: int = 5):
    frame = pd.DataFrame(
        {
            "model": [f"model {i}" for i in range(rows)],
            "ndcg@10": np.linspace(0.2, 0.4, rows).round(4),
            "recall@10": 0.25,
        }
    )
    return new_output(
        "execute_result", {"text/html": frame._repr_html_(), "text/plain": str(frame)}, execution_count=1
    )


def save(path: Path, *cells, title: str = TITLE) -> Path:
    """Write a notebook of a title cell and these cells."""
    notebook = new_notebook(cells=[markdown(title, "slide"), *cells])
    nbformat.write(notebook, path)
    return path


def rich(path: Path) -> Path:
    """A lecture that uses all there is: it must be without fault, and pleasant to look at."""
    return save(
        path,
        code("import torch", None),
        markdown(
            "Long prose.",
            "slide",
            text="## Which of these two lists would you rather get?",
            notes="Wait. Let *them* answer.",
        ),
        markdown(
            "## One number for a list\n\n"
            "- A **hit** counts more when it stands higher up.\n"
            "- The weight of rank $r$ is $1/\\log_2(r+1)$.\n"
            "- Divide by the best list that was possible, so that 1 is perfect.",
            "slide",
        ),
        markdown(
            "## NDCG, term by term\n\n$$\\mathrm{NDCG@}k = \\frac{\\sum_{r=1}^{k} \\mathrm{rel}_r / \\log_2(r+1)}"
            "{\\sum_{r=1}^{\\min(k, |R|)} 1 / \\log_2(r+1)}$$\n\nThe bottom is the score of the ideal list.",
            "slide",
        ),
        markdown("> **Mind the cut.** The ideal list stops at $\\min(k, |R|)$, not at $k$.", "fragment"),
        markdown("# From one list to a league", "slide", "section-slide"),
        markdown("One protocol for every model.", "-"),
        code(
            "def ndcg(relevant, k):\n    ranks = torch.arange(1, k + 1)\n    weight = 1 / torch.log2(ranks + 1)\n"
            "    ideal = weight[: min(k, int(relevant.sum()))].sum()\n"
            "    return (relevant[:k] * weight).sum() / ideal\n\n"
            "# hits at ranks 1 and 3 of five\nprint(ndcg(torch.tensor([1.0, 0, 1, 0, 0]), 5))",
            "slide",
            text="## Six lines say the same",
            outputs=[stdout("tensor(0.9197)\n")],
        ),
        code(
            "plot()",
            "slide",
            "slide-hide-input",
            text="## Who profits from a longer history?",
            outputs=[picture()],
        ),
        code("league", "slide", "slide-hide-input", text="## The league so far", outputs=[table()]),
        markdown("Means over three seeds. Differences below the spread are noise.", "-"),
        markdown("## The way of a rating\n\nSplit **before** anything is fitted.", "slide"),
        code(
            "diagram('way')",
            "-",
            "slide-hide-input",
            outputs=[shown("image/svg+xml", SVG, "Ratings go into a model, which gives a list of ten")],
        ),
        markdown("## Sampled metrics mislead", "slide"),
        markdown(
            "- 100 sampled negatives\n- the order of models *changes*\n- full ranking takes seconds here",
            "-",
            "cols-left",
        ),
        code("plot()", "-", "cols-right", "slide-hide-input", outputs=[picture()]),
        markdown(
            "[Krichene and Rendle (2020)](https://doi.org/10.1145/3394486.3403226) show why.", "-", "cols-end"
        ),
        markdown("## The same in code", "subslide"),
        code(
            "scores[train] = -torch.inf\n"
            "items = scores.argsort(\n    descending=True, stable=True)\ntop = items[:, :10]",
            "-",
            "cols-left",
        ),
        markdown(
            "1. Mask what was seen.\n2. Sort **all** other items.\n3. Ties go to the lower code.",
            "-",
            "cols-right",
        ),
        code(
            "say()",
            "slide",
            "slide-hide-input",
            outputs=[
                shown(
                    "text/markdown",
                    "## What the clinic found\n\nThe leak adds **0.09** to NDCG@10; "
                    "without it the model falls from 1st to 4th.",
                )
            ],
        ),
        markdown("Ask who has seen such a leak at work.", "notes"),
        markdown(
            "## You can now\n\n- pick the metric that fits the question,\n"
            "- read NDCG@10 term by term,\n- say when a difference is noise.",
            "slide",
            "closing-slide",
        ),
    )
