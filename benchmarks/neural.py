"""How long is a training step of chapter 17's and 18's models beside RecBole's, in the same run?

    python benchmarks/neural.py
    python benchmarks/neural.py --repeats 3 --recbole /tmp/recbole

RecBole's model files come as ``_recbole.py`` says; it has no AutoRec. All sides run on one thread in float32, by turns,
on the training part of MovieLens-100K, with the same optimizer (Adam). A time is the processor time of one epoch.

- Mult-DAE, Mult-VAE: one layer of 200 factors each way, dropout, batches of 128 users.
- GMF, MLP, NeuMF: 16 factors, layers of 32 and 16, batches of 1,024 clicks with 4 negatives each, drawn beforehand.
  Ours computes a user's part once for her five items. It is timed with RecBole's formula, and as its ``fit`` has it:
  with biases, and a penalty in the loss, which RecBole's model lacks.
- SASRec, GRU4Rec: as ``_sequential.py`` says.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import _recbole
import _sequential
from _timing import Row, compare, epochs, parser, peer, report, show_times, turns

# isort: split
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from course_utils.data import Interactions, load_movielens, splits
from course_utils.learning import negatives
from course_utils.models.autoencoders import MultDAE, MultVAE
from course_utils.models.neural_cf import GMF, MLP, NeuMF

FACTORS, WIDTHS, UNSEEN, PENALTY = 16, [32, 16], 4, 1e-4
Side = tuple[torch.nn.Module, Callable[..., torch.Tensor]]
FIELDS = {"USER_ID_FIELD": "user", "ITEM_ID_FIELD": "item", "NEG_PREFIX": "neg_", "LABEL_FIELD": "label"}


class DataSet:
    """What RecBole asks of a data set: its code 0 is padding."""

    def __init__(self, data: Interactions) -> None:
        self.data = data

    def num(self, field: str) -> int:
        """How many codes there are."""
        return 1 + (self.data.n_users if field == "user" else self.data.n_items)

    def history_item_matrix(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Each user's items in one row, filled up with the padding; the values beside them; how many there are."""
        mask = self.data.mask()
        counts = torch.cat([torch.zeros(1, dtype=torch.long), mask.sum(1)])
        values = (torch.arange(int(counts.max())) < counts[:, None]).float()
        items = torch.zeros(values.shape, dtype=torch.long)
        items[values.bool()] = mask.nonzero()[:, 1] + 1
        return items, values, counts


def theirs(name: str, data: Interactions, folder: Path, config: dict) -> torch.nn.Module:
    """RecBole's own class."""
    return _recbole.model(name, folder)(FIELDS | {"device": "cpu"} | config, DataSet(data))


def rows(model: MultDAE, data: Interactions) -> Side:
    """A step of ours on the rows of some users."""
    model.epochs = 1
    model.fit(data)  # makes the network; it is trained on below
    generator, clicks = torch.Generator().manual_seed(0), data.mask().float()
    return model.network, lambda users: sum(model.loss(clicks[users], generator, 1.0).values())


def pairs(model: torch.nn.Module) -> Side:
    """A step of ours on users and their five items each; with biases it pays a penalty too."""

    def step(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        scores = model(users[:, None], items)
        clicked = torch.zeros_like(scores)
        clicked[:, 0] = 1.0
        error = binary_cross_entropy_with_logits(scores, clicked)
        return error + PENALTY * model.penalty(users[:, None], items) if model.biases else error

    return model, step


def flat(model: torch.nn.Module) -> Side:
    """A step of theirs on the same pairs, one a row."""

    def step(users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        label = torch.zeros(items.shape)
        label[:, 0] = 1.0
        asked = {"user": 1 + users.repeat_interleave(items.shape[1]), "item": 1 + items.flatten()}
        return model.calculate_loss(asked | {"label": label.flatten()})

    return model, step


def raced(name: str, sides: dict[str, Side | None], batches: list[tuple], repeats: int) -> list[Row]:
    """One question, a row for each side of ours: all by turns, an epoch at a time."""
    running = {
        side: epochs(torch.optim.Adam(made[0].parameters(), lr=0.001), made[1], batches).__next__
        for side, made in sides.items()
        if made
    }
    question, times = f"{name}, an epoch, MovieLens-100K", turns(running, repeats)
    show_times(question, times)
    return [compare(times, question, side, "RecBole") for side in sides if side != "RecBole"]


def main() -> None:
    """Race each of the five."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--recbole", type=Path, default=_recbole.FOLDER, help="folder with RecBole's package")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    movielens = load_movielens()
    data = movielens.interactions(splits.random_split(movielens.ratings, seed=0)[0])
    found, generator = [], torch.Generator().manual_seed(0)
    users = [(each,) for each in torch.randperm(data.n_users, generator=generator).split(128)]
    wide = {"mlp_hidden_size": [], "dropout_prob": 0.5, "anneal_cap": 0.2, "total_anneal_steps": 0}
    for name, kind, latent in (("MultiDAE", MultDAE, 200), ("MultiVAE", MultVAE, 400)):
        config = wide | {"latent_dimension": latent}  # theirs cuts it into means and log variances

        def autoencoder(name: str = name, config: dict = config) -> Side:
            model = theirs(name, data, options.recbole, config)
            return model, lambda users: model.calculate_loss({"user": 1 + users})

        sides = {"ours": rows(kind(200, dropout=0.5), data), "RecBole": peer(name, autoencoder)}
        found += raced(name.replace("Multi", "Mult-"), sides, users, options.repeats)
    unseen = negatives.uniform(data, data.users, UNSEEN, generator=generator)
    order = torch.randperm(len(data), generator=generator)
    five = torch.cat([data.items[:, None], unseen], dim=1)[order]
    clicks = list(zip(data.users[order].split(1024), five.split(1024), strict=True))
    sizes = {
        "mf_embedding_size": FACTORS,
        "mlp_embedding_size": FACTORS,
        "mlp_hidden_size": WIDTHS,
        "dropout_prob": 0.0,
        **dict.fromkeys(("use_pretrain", "mf_pretrain_path", "mlp_pretrain_path")),
    }
    for kind in (GMF, MLP, NeuMF):
        parts = {"mf_train": kind is not MLP, "mlp_train": kind is not GMF}

        def product(config: dict = sizes | parts) -> Side:
            return flat(theirs("NeuMF", data, options.recbole, config))

        size, name = (data.n_users, data.n_items, FACTORS), kind.__name__
        sides = {"ours": pairs(kind(*size, biases=False)), "ours, biases and penalty": pairs(kind(*size))}
        found += raced(name, sides | {"RecBole": peer(name, product)}, clicks, options.repeats)
    found += _sequential.raced(data, options.recbole, options.repeats)
    report(found)


if __name__ == "__main__":
    main()
