"""Chapter 18's part of ``neural.py``: training steps on histories of 50 films.

Batches of 128 windows, vectors of 64 entries; SASRec has two blocks, one head and inner layers of 64, GRU4Rec one
layer; half of the entries are hidden by dropout. RecBole asks at the last place of a history alone. Ours is timed so,
and as its ``fit`` has it, at each place.
"""

from __future__ import annotations

from pathlib import Path

import _recbole
from _timing import Row, compare, epochs, peer, show_times, turns

# isort: split
import torch
from torch.nn.functional import cross_entropy

from course_utils.data import Interactions
from course_utils.models.sequential import GRU4Rec, SASRec, windows

FACTORS, LENGTH, DROPOUT = 64, 50, 0.5
SHARED = {
    "USER_ID_FIELD": "user",
    "ITEM_ID_FIELD": "item",
    "LIST_SUFFIX": "_list",
    "ITEM_LIST_LENGTH_FIELD": "length",
    "NEG_PREFIX": "neg_",
    "MAX_ITEM_LIST_LENGTH": LENGTH,
    "device": "cpu",
    "loss_type": "CE",
    "hidden_size": FACTORS,
}
THEIRS = {
    SASRec: {
        "n_layers": 2,
        "n_heads": 1,
        "inner_size": FACTORS,
        "hidden_dropout_prob": DROPOUT,
        "attn_dropout_prob": DROPOUT,
        "hidden_act": "relu",
        "layer_norm_eps": 1e-5,
        "initializer_range": 0.02,
    },
    GRU4Rec: {"embedding_size": FACTORS, "num_layers": 1, "dropout_prob": DROPOUT},
}


class DataSet:
    """What RecBole asks of a data set: its code 0 is padding."""

    def __init__(self, data: Interactions) -> None:
        self.data = data

    def num(self, field: str) -> int:
        """How many codes there are."""
        return 1 + (self.data.n_users if field == "user" else self.data.n_items)


def raced(data: Interactions, folder: Path, repeats: int) -> list[Row]:
    """Two rows for each of the two models, by turns, an epoch at a time."""
    rows = windows(data, LENGTH)[1]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    batches = [(batch,) for batch in rows[order].split(128)]
    found = []
    for kind, config in THEIRS.items():
        model, generator = kind(FACTORS, length=LENGTH, dropout=DROPOUT, epochs=1).fit(data), torch.Generator()
        network = model.network  # trained on below

        def last(rows: torch.Tensor, network=network, generator=generator) -> torch.Tensor:
            return cross_entropy(network.score(network(rows[:, :-1], generator, at=-1)), rows[:, -1])

        def everywhere(rows: torch.Tensor, model=model, generator=generator) -> torch.Tensor:
            histories, targets = model.examples(rows)
            real = histories < data.n_items
            states = model.network(histories, generator)[real]
            return cross_entropy(model.network.score(states), targets[real])

        theirs = peer(
            "RecBole",
            lambda kind=kind, config=config: _recbole.model(kind.__name__, folder, "sequential")(
                SHARED | config, DataSet(data)
            ),
        )

        def step(rows: torch.Tensor, theirs=theirs) -> torch.Tensor:
            real = rows[:, :-1] < data.n_items
            count = real.sum(1)
            place = torch.arange(LENGTH)
            back = rows[:, :-1].take_along_dim((place + LENGTH - count[:, None]) % LENGTH, 1) + 1
            back = torch.where(place < count[:, None], back, 0)  # theirs has padding behind
            return theirs.calculate_loss({"item_list": back, "length": count, "item": rows[:, -1] + 1})

        sides = {"ours": (network, last), "ours, every place": (network, everywhere)}
        sides |= {"RecBole": (theirs, step)} if theirs is not None else {}
        running = {
            side: epochs(torch.optim.Adam(module.parameters(), lr=0.001), loss, batches).__next__
            for side, (module, loss) in sides.items()
        }
        question, times = f"{kind.__name__}, an epoch, MovieLens-100K", turns(running, repeats)
        show_times(question, times)
        found += [compare(times, question, side, "RecBole") for side in ("ours", "ours, every place")]
    return found
