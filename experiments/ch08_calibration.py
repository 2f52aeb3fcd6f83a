"""What a scale and a shift of the logits, chosen on the validation part, do for each click model.

Chapter 8 shows ``results/ch08_calibration.csv``.

Task ``movielens`` of ``experiments/ch08_clicks.py``, with the setting that each model chose there. A model is fitted on
the inner training part (seed 0, as when its setting was chosen), and the validation part chooses ``scale`` and
``shift`` for it: the numbers that make the log loss of scale * logit + shift least. Then the model is fitted on the
whole training part, seed by seed, and its logits for the test part are measured three ways: ``raw`` as they are,
``scale`` with a scale alone (one over the temperature of Guo et al. 2017), ``both`` with a scale and a shift (as in
Platt 1999). ``validation`` is the log loss on the validation part, of the run that chose.

DLRM is trained with weight decay on all but its biases, the others with weight decay on everything: with it DLRM ends
elsewhere on another processor. ``experiments/ch08_last_bits.py`` says why. (DCN v1 does too, in the fourth decimal.)
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
import torch
from _tables import write
from ch08_clicks import LINEAR, NETWORKS, chosen, encoded, fit_linear, logits_of, parts
from ch08_last_bits import optimizer

from course_utils.data.encoder import Rows
from course_utils.evaluation import metrics
from course_utils.learning import loop
from course_utils.models.dlrm import click_loss

SEEDS = range(3)


def recalibration(logits: torch.Tensor, labels: torch.Tensor, *, shifted: bool) -> tuple[float, float]:
    """Scale and shift of the least log loss, by Newton's method; the shift is 0 unless ``shifted``."""
    columns = torch.stack([logits, torch.ones_like(logits)], dim=1)[:, : 1 + shifted]  # (n, 1 or 2)
    found = torch.tensor([1.0, 0.0])[: 1 + shifted]
    for _ in range(20):
        p = (columns @ found).sigmoid()
        slope = columns.T @ (p - labels)
        curvature = (columns.T * (p * (1 - p))) @ columns
        found = found - torch.linalg.solve(curvature, slope)
    return (*found.tolist(), 0.0)[:2]


def reliability_gap(logits: torch.Tensor, labels: torch.Tensor, groups: int = 10) -> float:
    """Mean gap between prediction and share of yes, over groups of equal size by prediction."""
    order = logits.argsort(stable=True)
    pairs = zip(logits[order].sigmoid().chunk(groups), labels[order].chunk(groups), strict=True)
    return float(np.mean([abs((p.mean() - y.mean()).item()) for p, y in pairs]))


def logits(name: str, best: pd.Series, seed: int, past: Rows, later: Rows) -> torch.Tensor:
    """Logits of a model, fitted on one part, for another."""
    if name in LINEAR:
        return fit_linear(name, best["C"], past, later)
    torch.manual_seed(seed)
    module = NETWORKS[name](past.dense.shape[1], past.cardinalities)
    data = loop.batches(*past.tensors(), batch_size=1024, generator=torch.Generator().manual_seed(seed))
    recipe = "not biases" if name == "DLRM" else "all"
    loop.fit(module, data, click_loss, epochs=int(best["epochs"]), optimizer=optimizer(module, best, recipe))
    return logits_of(module, later)


def rows(name: str) -> Iterator[list]:
    """A row for each seed and each way to treat the logits."""
    best = chosen("movielens", name)
    inner, validation, test, features = parts("movielens")
    past, held_out = encoded(features, inner, validation)
    guide = logits(name, best, 0, past, held_out)
    ways = {"raw": (1.0, 0.0)}
    ways |= {way: recalibration(guide, held_out.labels, shifted=way == "both") for way in ("scale", "both")}
    past, later = encoded(features, pd.concat([inner, validation]).sort_index(), test)
    for seed in SEEDS if name in NETWORKS else (0,):
        found = logits(name, best, seed, past, later)
        for way, (scale, shift) in ways.items():
            s, v = scale * found + shift, scale * guide + shift
            values = metrics.log_loss(s, later.labels), reliability_gap(s, later.labels), s.sigmoid().mean().item()
            yield [name, way, seed, scale, shift, metrics.log_loss(v, held_out.labels), *values]


def main(names: list[str]) -> None:
    """The named models, or all: about four minutes on an idle core."""
    table = []
    for name in names or (*LINEAR, *NETWORKS):
        for row in rows(name):
            table.append(row)
            print(*row, flush=True)
    columns = ["model", "way", "seed", "scale", "shift", "validation", "log_loss", "gap", "mean_p"]
    write("ch08_calibration", pd.DataFrame(table, columns=columns), keys=columns[:3], keep_others=bool(names))


if __name__ == "__main__":
    main(sys.argv[1:])
