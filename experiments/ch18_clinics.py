"""What breaks a model of sequences, and what only seems to? Chapter 18 shows the tables.

    python experiments/ch18_clinics.py          all parts: about ten minutes
    python experiments/ch18_clinics.py mask     one part; the other table stays

SASRec with the settings that ``ch18_sequences.py`` chose, on the last film of each user in file order.

- ``faults``: what it reads and what it is asked, wrong in one place each; hit rate in full, among 100 films drawn by
popularity and among 100 drawn uniformly; the last loss of the training; two seeds (``results/ch18_faults.csv``).
- ``mask``: with the causal mask, without it, and with all visible but the next film; with the loss at each place, and
at the last place of a window alone; with all windows, and with each user's latest one alone; two seeds, after each
epoch (``results/ch18_mask.csv``).
"""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import product

import pandas as pd
import torch
from _sequences import Judge, made, measured
from _tables import SEEDS, movielens, write
from torch.nn.functional import cross_entropy

from course_utils.data import Interactions, MovieLens, splits
from course_utils.models.base import Recommender
from course_utils.models.causal import Attention, Blocks
from course_utils.models.sequential import SASRec, sequences

LOSSES = ((10, "uniform"), (100, "uniform"), (100, "popularity"))


class SameFilm(SASRec):
    """Off by one: each place is asked for the film that it reads."""

    def examples(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same columns twice."""
        return rows[:, 1:], rows[:, 1:]


class Told:
    """Scores of a model for histories that somebody else cut out."""

    def __init__(self, model: SASRec, histories: torch.Tensor) -> None:
        self.scores = torch.cat([model._scores(part) for part in histories.split(200)])

    @torch.no_grad()
    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Scores of all items."""
        return self.scores[users].detach()


def reversed_histories(train: Interactions, length: int, *, oldest: bool) -> torch.Tensor:
    """The latest films, newest first; or the oldest films, oldest first, ``(n_users, length)``."""
    backwards = replace(train, timestamps=-train.timestamps)  # the oldest film is the last one
    table = sequences(backwards if oldest else train, length)
    real = (table < train.n_items).sum(1, keepdim=True)
    place = torch.arange(length)
    mirror = torch.where(place >= length - real, 2 * length - 1 - real - place, place)  # padding stays in front
    return table.take_along_dim(mirror, 1)


def faults(data: MovieLens) -> None:
    """A row a fault and seed."""
    train, test = map(data.interactions, splits.leave_last_out(data.ratings))
    judge = Judge(data.interactions(data.ratings), test)
    chosen = made("SASRec")
    rows = []

    def note(fault: str, seed: int, model: Recommender, loss: float = float("nan"), **options: bool) -> None:
        row = {
            "fault": fault,
            "seed": seed,
            "loss": loss,
            **measured(model, train, test, **options),
            **judge.hits(model),
        }
        rows.append(row)
        print(*row.values(), flush=True)

    for seed in SEEDS[:2]:
        model = made("SASRec", seed).fit(train)
        note("none", seed, model, model.history.loss.iloc[-1])
        note("seen films are not masked", seed, model, mask_train=False)
        note("oldest 50 films", seed, Told(model, reversed_histories(train, chosen.length, oldest=True)))
        note("newest first", seed, Told(model, reversed_histories(train, chosen.length, oldest=False)))
        for number, sampler in LOSSES:
            model = made("SASRec", seed, negatives=number, sampler=sampler).fit(train)
            note(f"trained against {number}, {sampler}", seed, model, model.history.loss.iloc[-1])
        same = SameFilm(dropout=chosen.dropout, seed=seed).fit(train)
        note("input is target", seed, same, same.history.loss.iloc[-1])
    write("ch18_faults", pd.DataFrame(rows), keys=["fault", "seed"])


class LastPlace(SASRec):
    """The loss looks at the last place of each window alone."""

    def examples(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Padding for a target wherever nothing shall be said."""
        targets = torch.full_like(rows[:, 1:], self._n_items)
        targets[:, -1] = rows[:, -1]
        return rows[:, :-1], targets


class Open(Blocks):
    """Each place sees all others, later ones too."""

    causal = False


class Cloze(Blocks):
    """Each place sees all others, but for the one behind it, which it shall name."""

    causal = False

    def visible(self, real: torch.Tensor) -> torch.Tensor:
        """All but one."""
        length = real.shape[1]
        behind = torch.ones(length, length - 1, dtype=torch.bool).tril(0).triu(0)
        behind = torch.cat([torch.zeros(length, 1, dtype=torch.bool), behind], dim=1)
        return real[:, None, :] & ~behind | torch.eye(length, dtype=torch.bool)


WAYS = {  # what a place may see in training, where the loss looks, on the latest window alone, epochs
    "mask": (Blocks, SASRec, False, 4),
    "no mask": (Open, SASRec, False, 4),
    "all but the next": (Cloze, SASRec, False, 4),
    "mask, last place": (Blocks, LastPlace, False, 4),
    "no mask, last place": (Open, LastPlace, False, 4),
    "mask, latest window": (Blocks, SASRec, True, 16),
    "no mask, latest window": (Open, SASRec, True, 16),
}


def mask(data: MovieLens) -> None:
    """A row a way, seed and epoch. At the test the last place sees all films anyway."""
    past, last = splits.leave_last_out(data.ratings)
    train, test = data.interactions(past), data.interactions(last)
    latest = data.interactions(past[(train.age() <= made("SASRec").length).numpy()])
    rows = []
    for (way, (blocks, places, late, epochs)), seed in product(WAYS.items(), SEEDS[:2]):

        class Model(places):
            def _middle(self, blocks=blocks) -> torch.nn.Module:
                return blocks(Attention, self.factors, self.length, self.depth)

        model = Model(dropout=made("SASRec").dropout, epochs=epochs, seed=seed)
        count = []

        def note(_: object, model=model, way=way, seed=seed, count=count) -> int:
            count.append(len(count) + 1)
            found = {"loss at the last place": last_loss(model, train)} | measured(model, train, test)
            rows.append({"training": way, "seed": seed, "epoch": len(count), **found})
            print(*rows[-1].values(), flush=True)
            return -len(count)

        model.fit(latest if late else train, validate=note)
        for row, loss in zip(rows[-epochs:], model.history.loss, strict=True):
            row["loss"] = loss
    write("ch18_mask", pd.DataFrame(rows), keys=["training", "seed", "epoch"])


@torch.no_grad()
def last_loss(model: SASRec, train: Interactions) -> float:
    """Mean cross entropy of each user's last training film, from the films before it."""
    rows = sequences(train, model.length + 1)
    return cross_entropy(model._scores(rows[:, :-1]), rows[:, -1]).item()


PARTS = {part.__name__: part for part in (faults, mask)}


def main(wanted: list[str]) -> None:
    """Run the wanted parts, both when none is named."""
    data = movielens()
    for name in wanted or PARTS:
        PARTS[name](data)


if __name__ == "__main__":
    main(sys.argv[1:])
