"""Does a learnt function of two vectors beat their dot product? Chapter 17 shows the tables.

    python experiments/ch17_neural_cf.py               all parts: about five minutes
    python experiments/ch17_neural_cf.py dot dots      these only; the other rows stay

- ``dot``, ``GMF``, ``MLP``, ``NeuMF``: 16 factors and biases, cross entropy with 4 negatives a click, on
``random_split`` seeds 0, 1, 2 (``results/ch17_neural_cf.csv``). The budget is small and the same for
all: 8 epochs with a step size from 0.02 to 0. The penalty is chosen on a fifth of split 0's training part by one search
(``results/ch17_neural_cf_search.csv``); the best is at no edge of its grid.
- each of them, and ``EASE``: every test film against all films that the user has not rated, and against few of them:
the expected hit rate in closed form (``results/ch17_sampled.csv``).
- ``dots``: a network learns the dot product itself from pairs of random vectors (``results/ch17_dots.csv``).
- ``published``: NeuMF on the last film of each user with the setting of Dive into Deep Learning, three seeds
(``results/ch17_published_neumf.csv``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import pandas as pd
import torch
from _climb import Grids, Setting, climb
from _tables import SEEDS, movielens, write
from ch17_autoencoders import parts
from ch20_evidence import last_films, place_of_last
from torch.nn.functional import mse_loss

from course_utils.data import Interactions, MovieLens
from course_utils.evaluation import measure_lists, metrics
from course_utils.learning import loop
from course_utils.models.base import Recommender
from course_utils.models.dlrm import mlp
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.neighbors import EASE
from course_utils.models.neural_cf import GMF, MLP, NeuMF

MODELS = {"dot": MatrixFactorization, "GMF": GMF, "MLP": MLP, "NeuMF": NeuMF}
PENALTIES = (2.5e-7, 1e-6, 4e-6, 1.6e-5, 6.4e-5, 2.56e-4, 1.024e-3, 4.096e-3, 1.6384e-2, 6.5536e-2, 0.262144)
GRIDS: Grids = {"regularization": PENALTIES}
STARTS = {"dot": 1.6384e-2, "GMF": 6.4e-5, "MLP": 4e-6, "NeuMF": 6.4e-5}  # from a first look
NEGATIVES = (10, 20, 50, 100, 200, 400, 800, 10_000)  # the last: all there are


def made(name: str, past: Interactions, seed: int, setting: Setting) -> MatrixFactorization:
    """One of the four models, trained under the common budget."""
    model = MODELS[name](past.n_users, past.n_items, 16, std=0.1, seed=seed)
    return model.fit(past, loss="bce", negatives=4, epochs=8, lr=0.02, **setting)


def race(data: MovieLens, name: str) -> None:
    """All measures of a model, a row a split."""
    (part, valid), _ = parts(data, 0)

    def value(setting: Setting) -> float:
        found = round(measure_lists(made(name, part, 0, setting), part, valid)["ndcg@10"], 4)
        print(*setting.values(), found, flush=True)
        return found

    setting, tried = climb(GRIDS, {"regularization": STARTS[name]}, value)
    rows, drawn = [], []
    for split in SEEDS:
        _, (train, test) = parts(data, split)
        model = made(name, train, split, setting)
        rows.append({"model": name, "split": split, **setting, **measure_lists(model, train, test)})
        print(*list(rows[-1].values())[:6], flush=True)
        drawn += sampled(model, name, split, train, test)
    tried = pd.DataFrame([{"model": name, **row} for row in tried])
    write("ch17_neural_cf_search", tried, keys=["model", *GRIDS], keep_others=True, digits=7)
    write("ch17_neural_cf", pd.DataFrame(rows), keys=["model", "split"], keep_others=True, digits=7)
    write("ch17_sampled", pd.DataFrame(drawn), keys=["model", "split", "negatives"], keep_others=True)


def sampled(model: Recommender, name: str, split: int, train: Interactions, test: Interactions) -> list[dict]:
    """Expected hit rate at 10 among so many sampled films, a row a number."""
    rank, others = ranks(model, train, test)
    hits = [metrics.sampled_hit_rate(rank, others, number, 10).mean().item() for number in NEGATIVES]
    keys = {"model": name, "split": split}
    return [{**keys, "negatives": number, "hit_rate": hit} for number, hit in zip(NEGATIVES, hits, strict=True)]


def ease(data: MovieLens) -> None:
    """The same hit rates of EASE."""
    rows = []
    for split in SEEDS:
        _, (train, test) = parts(data, split)
        rows += sampled(EASE().fit(train), "EASE", split, train, test)
    write("ch17_sampled", pd.DataFrame(rows), keys=["model", "split", "negatives"], keep_others=True)


def ranks(model: Recommender, train: Interactions, test: Interactions) -> tuple[torch.Tensor, torch.Tensor]:
    """Rank of each test film among those that its user never rated, and how many these are, ``(n,)`` both."""
    rated, found, counts = train.mask() | test.mask(), [], []
    for rows in torch.arange(len(test)).split(2000):
        users, items = test.users[rows], test.items[rows]
        scores = model.score(users)
        others = scores.masked_fill(rated[users], -torch.inf)
        found.append(metrics.rank_among(scores[torch.arange(len(rows)), items], others))
        counts.append((~rated[users]).sum(1))
    return torch.cat(found), torch.cat(counts)


def dots(_: MovieLens) -> None:
    """Test RMSE of a network that learns dot products of variance 1, a row a width of the vectors, size and seed."""
    rows = []
    for width in (8, 32):
        for pairs in (2_000, 50_000):
            for seed in SEEDS:
                rows.append({"width": width, "pairs": pairs, "seed": seed, "rmse": learnt_dot(width, pairs, seed)})
                print(*rows[-1].values(), flush=True)
    write("ch17_dots", pd.DataFrame(rows), keys=["width", "pairs", "seed"])


def learnt_dot(width: int, pairs: int, seed: int) -> float:
    """The error on new pairs of a network with two layers of 128, stopped on a validation part."""
    generator = torch.Generator().manual_seed(seed)
    p, q = torch.randn(2, pairs + 12_000, width, generator=generator) * width**-0.25
    both, target = torch.cat([p, q], dim=1), (p * q).sum(1)
    inputs, targets = (x.split([pairs, 2_000, 10_000]) for x in (both, target))
    torch.manual_seed(seed)  # of the layers
    network = mlp([2 * width, 128, 128, 1], last_relu=False)
    batches = loop.batches(inputs[0], targets[0], batch_size=256, generator=generator)

    def error(module: torch.nn.Module, batch: loop.Batch) -> torch.Tensor:
        return mse_loss(module(batch[0])[:, 0], batch[1])

    epochs = 3000 // len(batches) + 1
    validate = lambda module: error(module, (inputs[1], targets[1])).item()  # noqa: E731
    loop.fit(network, batches, error, epochs=epochs, lr=0.003, decay=True, validate=validate, patience=30)
    with torch.no_grad():
        return error(network, (inputs[2], targets[2])).sqrt().item()


def published(data: MovieLens) -> None:
    """NeuMF as the other book trains it, and with our biases and start; hit rate at 50 and AUC, a row a seed."""
    train, test = map(data.interactions, last_films(data.ratings))
    rows = []
    for kind, options in {"as there": {"biases": False, "std": 0.01}, "with biases": {"biases": True}}.items():
        for seed in SEEDS:
            model = NeuMF(train.n_users, train.n_items, 10, widths=(10, 10, 10), seed=seed, **options)
            model.fit(train, loss="bpr", negatives=1, regularization=1e-5, lr=0.01, epochs=10)
            rows.append({"kind": kind, "seed": seed, **place_of_last(model, train, test)})
            print(*rows[-1].values(), flush=True)
    write("ch17_published_neumf", pd.DataFrame(rows), keys=["kind", "seed"])


PARTS: dict[str, Callable[[MovieLens], None]] = {
    **{name: partial(race, name=name) for name in MODELS},
    **{"EASE": ease, "dots": dots, "published": published},
}


def main(wanted: list[str]) -> None:
    """Run the wanted parts, all of them when none is named."""
    data = movielens()
    for name in wanted or PARTS:
        PARTS[name](data)


if __name__ == "__main__":
    main(sys.argv[1:])
