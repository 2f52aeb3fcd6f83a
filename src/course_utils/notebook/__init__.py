"""The desk that every notebook sits at: set-up, pictures, computed prose, self-checks."""

from course_utils.notebook.exercises import check
from course_utils.notebook.page import demo, diagram, figure, glue, progress, results, say, setup
from course_utils.notebook.plots import PALETTE, label_ends, spread_bars
from course_utils.notebook.reader import expect, predict

__all__ = [
    "PALETTE", "check", "demo", "diagram", "expect", "figure", "glue", "label_ends", "predict", "progress", "results",
    "say", "setup", "spread_bars",
]  # fmt: skip
