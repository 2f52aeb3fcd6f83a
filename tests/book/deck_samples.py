"""Notebooks for the tests of the decks, made by code: one rich lecture, and small ones with one fault each."""

import nbformat
import numpy as np
import pandas as pd
from nbformat.v4 import new_notebook, new_output
from sample_notebook import chart, code, displayed, markdown, stdout

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
HIDE = "slide-hide-input"


def picture(alt="Bars, a curve and a point: the third bar is the highest"):
    """A figure of the book's size, as PNG."""
    return displayed("image/png", chart(), alt)


def table(rows=5):
    values = np.linspace(0.2, 0.4, rows).round(4)
    frame = pd.DataFrame({"model": [f"model {i}" for i in range(rows)], "ndcg@10": values, "recall@10": 0.25})
    data = {"text/html": frame._repr_html_(), "text/plain": str(frame)}
    return new_output("execute_result", data, execution_count=1)


def save(path, *cells, title=TITLE):
    """Write a notebook of a title cell and these cells."""
    nbformat.write(new_notebook(cells=[markdown(title, "slide"), *cells]), path)
    return path


LIST = """## One number for a list

- A **hit** counts more when it stands higher up.
- The weight of rank $r$ is $1/\\log_2(r+1)$.
- Divide by the best list that was possible, so that 1 is perfect."""
FORMULA = """## NDCG, term by term

$$\\mathrm{NDCG@}k =
\\frac{\\sum_{r=1}^{k} \\mathrm{rel}_r / \\log_2(r+1)}{\\sum_{r=1}^{\\min(k, |R|)} 1 / \\log_2(r+1)}$$

The bottom is the score of the ideal list."""
NDCG = """def ndcg(relevant, k):
    ranks = torch.arange(1, k + 1)
    weight = 1 / torch.log2(ranks + 1)
    ideal = weight[: min(k, int(relevant.sum()))].sum()
    return (relevant[:k] * weight).sum() / ideal

# hits at ranks 1 and 3 of five
print(ndcg(torch.tensor([1.0, 0, 1, 0, 0]), 5))"""
RANKED = """scores[train] = -torch.inf
items = scores.argsort(
    descending=True, stable=True)
top = items[:, :10]"""
SAID = """## What the clinic found

The leak adds **0.09** to NDCG@10; without it the model falls from 1st to 4th."""
SAMPLED = "- 100 sampled negatives\n- the order of models *changes*\n- full ranking takes seconds here"
SOURCE = "[Krichene and Rendle (2020)](https://doi.org/10.1145/3394486.3403226) show why."
STEPS = "1. Mask what was seen.\n2. Sort **all** other items.\n3. Ties go to the lower code."
RECAP = """## You can now

- pick the metric that fits the question,
- read NDCG@10 term by term,
- say when a difference is noise."""


def rich(path):
    """A lecture that uses all there is: it must be without fault, and pleasant to look at."""
    way = displayed("image/svg+xml", SVG, "Ratings go into a model, which gives a list of ten")
    question = "## Which of these two lists would you rather get?"
    return save(
        path,
        *(code("import torch"), markdown("Long prose.", "slide", text=question, notes="Wait. Let *them* answer.")),
        *(markdown(LIST, "slide"), markdown(FORMULA, "slide")),
        markdown("> **Mind the cut.** The ideal list stops at $\\min(k, |R|)$, not at $k$.", "fragment"),
        markdown("# From one list to a league", "slide", "section-slide"),
        markdown("One protocol for every model.", "-"),
        code(NDCG, "slide", stdout("tensor(0.9197)\n"), text="## Six lines say the same", said="It is **0.9197**."),
        code("plot()", "slide", HIDE, picture(), text="## Who profits from a longer history?"),
        code("league", "slide", HIDE, table(), text="## The league so far"),
        markdown("Means over three seeds. Differences below the spread are noise.", "-"),
        markdown("## The way of a rating\n\nSplit **before** anything is fitted.", "slide"),
        code("diagram('way')", "-", HIDE, way),
        *(markdown("## Sampled metrics mislead", "slide"), markdown(SAMPLED, "-", "cols-left")),
        *(code("plot()", "-", "cols-right", HIDE, picture()), markdown(SOURCE, "-", "cols-end")),
        markdown("## The same in code", "subslide"),
        *(code(RANKED, "-", "cols-left"), markdown(STEPS, "-", "cols-right")),
        code("say()", "slide", HIDE, displayed("text/markdown", SAID)),
        markdown("Ask who has seen such a leak at work.", "notes"),
        markdown(RECAP, "slide", "closing-slide"),
    )
