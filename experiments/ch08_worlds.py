"""Three generated worlds: which model wins is chosen by what made the data.

Chapter 8 shows ``results/ch08_worlds.csv``.

Five features with forty codes each. The log odds of a click are a sum over features (``additive``), over pairs of
features (``pairwise``: dot products of hidden vectors), or over triples (``third order``: products of three hidden
vectors, coordinate by coordinate). The ``oracle`` knows the true log odds; nobody can do better.

Data, model and batches have generators of their own. Each network picks one of two weight decays, and one of forty
epochs, on a validation part; logistic regression picks one of three penalties. Nothing is stopped early: in the world
of triples the loss of DCN v2 stands still for its first epochs before it falls. Weight decay spares the biases of
hidden layers: where it pulls on them too, the DNN of a world of pairs ends elsewhere on another processor
(``ch08_last_bits.py``).
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator

import pandas as pd
import torch
from _tables import write
from ch08_last_bits import optimizer
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import course_utils
from course_utils.evaluation import metrics
from course_utils.learning import loop
from course_utils.models.dlrm import DCN, DLRM, DNN
from course_utils.models.factorization_machines import FactorizationMachine

FIELDS, CODES, HIDDEN = 5, 40, 4
ROWS = {"train": 40_000, "validation": 10_000, "test": 20_000}
WORLDS = {"additive": 1, "pairwise": 2, "third order": 3}
STRENGTH = 1.5  # standard deviation of the true log odds
SIZES, D, DEEP = (CODES,) * FIELDS, 8, [64, 32]
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "FM": lambda: FactorizationMachine(SIZES, D),
    "DNN": lambda: DNN(0, SIZES, D, DEEP),
    "DLRM": lambda: DLRM(0, SIZES, D, [], [*DEEP, 1]),
    "DCN v2": lambda: DCN(0, SIZES, D, 2, DEEP),
}
Part = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # codes, true log odds, labels


def world(name: str, seed: int) -> dict[str, Part]:
    """A world drawn by its seed: codes ``(n, 5)``, true log odds and labels ``(n,)`` for each part."""
    generator = torch.Generator().manual_seed(1000 + seed)
    width = 1 if name == "additive" else HIDDEN
    hidden = torch.randn(FIELDS, CODES, width, generator=generator)
    n = sum(ROWS.values())
    codes = torch.randint(CODES, (n, FIELDS), generator=generator)
    vectors = hidden[torch.arange(FIELDS), codes]  # (n, 5, width)
    chosen = itertools.combinations(range(FIELDS), WORLDS[name])
    odds = sum(vectors[:, list(which)].prod(dim=1).sum(dim=1) for which in chosen)
    odds = STRENGTH * (odds - odds.mean()) / odds.std() - 0.5
    labels = (torch.rand(n, generator=generator) < odds.sigmoid()).to(odds.dtype)
    cut = list(ROWS.values())
    pieces = zip(codes.split(cut), odds.split(cut), labels.split(cut), strict=True)
    return dict(zip(ROWS, pieces, strict=True))


def linear(parts: dict[str, Part]) -> torch.Tensor:
    """Test logits of logistic regression, its penalty picked on the validation part."""
    encoder = OneHotEncoder(categories=[range(CODES)] * FIELDS)
    x = {name: encoder.fit_transform(codes.numpy()) for name, (codes, _, _) in parts.items()}
    best = None
    for penalty in (0.1, 1.0, 10.0):
        model = LogisticRegression(C=penalty, max_iter=1000).fit(x["train"], parts["train"][2].numpy())
        loss = metrics.log_loss(torch.as_tensor(model.decision_function(x["validation"])), parts["validation"][2])
        if best is None or loss < best[0]:
            best = loss, torch.as_tensor(model.decision_function(x["test"]))
    return best[1]


def network(name: str, parts: dict[str, Part], seed: int) -> torch.Tensor:
    """Test logits of a network, its weight decay and epoch picked on the validation part."""
    best = None
    for decay in (1e-4, 1e-3):
        torch.manual_seed(seed)
        module = NETWORKS[name]()
        generator = torch.Generator().manual_seed(seed)
        codes, _, labels = parts["train"]
        history = loop.fit(
            module,
            loop.batches(codes, labels, batch_size=1024, generator=generator),
            lambda m, batch: binary_cross_entropy_with_logits(m(None, batch[0]), batch[1]),
            epochs=40,
            optimizer=optimizer(module, {"lr": 0.005, "weight_decay": decay}, "all" if name == "FM" else "not biases"),
            validate=lambda m: metrics.log_loss(m(None, parts["validation"][0]), parts["validation"][2]),
        )
        loss = history["validation"].min()
        if best is None or loss < best[0]:
            with torch.no_grad():
                best = loss, module(None, parts["test"][0])
    return best[1]


def rows(name: str, seed: int, models: list[str]) -> Iterator[tuple[str, str, int, float, float]]:
    """Test log loss and AUC of each model, or of the oracle, in one world."""
    parts = world(name, seed)
    _, odds, labels = parts["test"]
    for model in models:
        logits = {"oracle": odds}.get(model)
        if logits is None:
            logits = network(model, parts, seed) if model in NETWORKS else linear(parts)
        yield name, model, seed, metrics.log_loss(logits, labels), metrics.auc(logits, labels)


def main(models: list[str]) -> None:
    """The named models, or all: about twelve minutes on an idle core."""
    course_utils.setup(threads=1)
    order = ["oracle", "logistic regression", *NETWORKS]
    table = []
    for name in WORLDS:
        for seed in range(3):
            for row in rows(name, seed, models or order):
                table.append(row)
                print(*row, flush=True)
    columns = ["model", "world", "seed", "log_loss", "auc"]
    found = pd.DataFrame(table, columns=["world", "model", "seed", *columns[3:]])[columns]
    write("ch08_worlds", found, keys=columns[:3], keep_others=bool(models))


if __name__ == "__main__":
    main(sys.argv[1:])
