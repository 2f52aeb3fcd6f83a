"""What a place of a history reads: for the live figure "what next" of chapter 18, and on average over all users.

SASRec with the settings that ``ch18_sequences.py`` chose, all but each user's last film, histories of 20 films.

- ``results/ch18_attention.csv``: what the figure takes along of seed 0, whole numbers of 16 bits as base64, in units of
``UNIT``. Vectors of one user's latest films, oldest first, as large as the network adds them to those of the places;
norm, query and key, weights before biases. Last the films (ids) that it names next, ``NAMED`` at a time: for her order,
then for the reverse, the first film exchanged with itself, with the second, and so on. She is the first user with
``FILMS`` training films whose next film is among the first ``TOP`` named. No rating, no title.
- ``results/ch18_distance.csv``: the weight that the last place gives to the film so many places before, mean over the
users with 20 films; as they are, and with each history reversed; three seeds.
- ``results/ch18_moved.csv``: how many of the five films named next stay when films of the history change places, mean
over these users; three seeds.
"""

from __future__ import annotations

import base64
import copy

import numpy as np
import pandas as pd
import torch
from _sequences import made
from _tables import SEEDS, movielens, write

from course_utils.data import Interactions, splits
from course_utils.models.sequential import SASRec, sequences

UNIT, LENGTH, FILMS, TOP, NAMED = 2.0**-13, 20, 40, 3, 5


def padded(films: torch.Tensor, model: SASRec, n_items: int) -> torch.Tensor:
    """Short histories as the network reads them, ``(B, model.length)``."""
    return torch.nn.functional.pad(films, (model.length - LENGTH, 0), value=n_items)


@torch.no_grad()
def named(model: SASRec, films: torch.Tensor, seen: torch.Tensor, k: int) -> torch.Tensor:
    """The k best films after each history that are not ``seen``, ``(B, k)``."""
    scores = model._scores(padded(films, model, seen.shape[-1]))
    return scores.masked_fill(seen, -torch.inf).topk(k).indices


def exchanged(films: torch.Tensor, place: int) -> torch.Tensor:
    """The first film and that of a place change places, ``(..., LENGTH)``."""
    found = films.clone()
    found[..., [0, place]] = films[..., [place, 0]]
    return found


@torch.no_grad()
def figure(model: SASRec, train: Interactions, test: Interactions, histories: torch.Tensor) -> None:
    """Pick a user, round what the network knows of her films, and look what rounding changes."""
    seen, often = train.mask(), torch.bincount(train.users, minlength=train.n_users) >= FILMS
    last = torch.full((train.n_users, 1), -1).index_put((test.users,), test.items[:, None])
    user = (often & (named(model, histories, seen, TOP) == last).any(1)).nonzero()[0, 0].item()
    films, ids = histories[user], torch.from_numpy(train.item_ids.to_numpy())
    rounded = copy.deepcopy(model)
    items, middle, root = rounded.network.items.weight, rounded.network.middle, model.factors**0.5
    vectors, places = (items[films] * root / UNIT).round(), (middle.places[-LENGTH:] / UNIT).round()
    items[films], middle.places[-LENGTH:] = vectors * UNIT / root, places * UNIT
    names = [f"film {film}" for film in ids[films]] + [f"place {place + 1}" for place in range(LENGTH)]
    rows = dict(zip(names, [*vectors, *places], strict=True))
    for name in ("norm", "query", "key"):
        values = [(each / UNIT).round() for each in middle.blocks[0].get_submodule(name).parameters()]
        for each, value in zip(middle.blocks[0].get_submodule(name).parameters(), values, strict=True):
            each.copy_(value * UNIT)
        rows[name] = torch.cat([value.flatten() for value in values])
    tried = torch.stack([exchanged(order, place) for order in (films, films.flip(0)) for place in range(LENGTH)])
    for causal in (True, False):
        model.network.middle.causal = middle.causal = causal
        exact, near = (each.weights(padded(tried, each, train.n_items)) for each in (model, rounded))
        print(f"mask {causal}: rounding moves a weight by {(exact - near).abs().max():.1e} at most")
        assert (exact - near).abs().max() < 1e-3
    model.network.middle.causal = True
    rows["named"] = ids[named(model, tried, seen[user], NAMED)].flatten()
    whole = {name: row.numpy() for name, row in rows.items()}
    print(f"user {train.user_ids[user]}, the largest number is {max(np.abs(row).max() for row in whole.values())}")
    assert all(np.abs(row).max() < 2**15 for row in whole.values())
    coded = [base64.b64encode(row.astype("<i2").tobytes()).decode() for row in whole.values()]
    write("ch18_attention", pd.DataFrame({"of": list(whole), "base64": coded}), keys=["of"])


def main() -> None:
    """Run all of it: two minutes."""
    data = movielens()
    train, test = map(data.interactions, splits.leave_last_out(data.ratings))
    histories, distances, moves = sequences(train, LENGTH), [], []
    long = histories[:, 0] < train.n_items  # users with so many films
    whole, seen = histories[long], train.mask()[long]  # (n, LENGTH), (n, n_items)
    earlier = torch.cat([whole[:, :-1].flip(1), whole[:, -1:]], dim=1)
    changes = {
        "first and tenth exchanged": exchanged(whole, 9),
        "all but the last reversed": earlier,
        "first and last exchanged": exchanged(whole, LENGTH - 1),
        "all reversed": whole.flip(1),
    }
    for seed in SEEDS:
        model = made("SASRec", seed).fit(train)
        if not seed:
            figure(model, train, test, histories)
        ways = {"as rated": whole, "reversed": whole.flip(1)}
        look = {way: model.weights(padded(films, model, train.n_items))[0, :, -1] for way, films in ways.items()}
        mean = {way: weights[:, -LENGTH:].flip(1).mean(0).numpy() for way, weights in look.items()}
        distances.append(pd.DataFrame({"seed": seed, "distance": range(LENGTH), "users": len(whole), **mean}))
        before = named(model, whole, seen, NAMED)[:, :, None]
        for change, films in changes.items():
            kept = (before == named(model, films, seen, NAMED)[:, None]).any(2).sum(1).double()
            moves.append({"change": change, "seed": seed, "users": len(whole), "kept": kept.mean().item()})
    write("ch18_distance", pd.concat(distances), keys=["seed", "distance"])
    write("ch18_moved", pd.DataFrame(moves), keys=["change", "seed"])


if __name__ == "__main__":
    main()
