"""Does a model that writes codes find the next film, and which codes help? Chapter 19 shows the tables.

    python experiments/ch19_generative.py                            all parts
    python experiments/ch19_generative.py search                     one part
    python experiments/ch19_generative.py models "training matrix"   one part, of one kind of codes; other rows stay

The test film is the last one of each user in file order; all films that the user has not rated in training are ranked,
by their exact log probabilities unless it says otherwise. Codes are made of the training part alone.

- ``search``: the shape of a code and the epochs, on the film before the last with neither of the two in training, by
NDCG@10 (``results/ch19_search.csv``). Each shape is trained once and measured after each epoch. Step size and dropout
are the class's own, the same for all; shuffled codes take the settings of content codes, RQ-VAE those of k-means.
- ``models``: three seeds, of codes and network together (``results/ch19_models.csv``), and each user's hits, means over
the seeds (``results/ch19_users.csv``). With codes of the training matrix, two tables more. Lists of a search with few
or many beginnings against the exact ones, where films seen in training are left out inside the search or struck from
its result (``results/ch19_beam.csv``). And after each epoch the share of the ten likeliest sentences, found by a search
without the trie, that are no film (``results/ch19_free.csv``).
"""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
import pandas as pd
import torch
from _codes import KINDS, SHAPES, made, quantized
from _sequences import measured
from _tables import RESULTS, SEEDS, movielens, write

from course_utils.data import Interactions, MovieLens, splits
from course_utils.evaluation import measure_lists, measure_lists_per_user, recommend
from course_utils.models.next_code import NextCode, Writer
from course_utils.models.semantic_ids import Trie, beam_search

EPOCHS, WIDTHS = 8, (5, 10, 20, 50)
BEST = ("training matrix", "k-means")


def search(data: MovieLens, wanted: list[str]) -> None:
    """A row a shape and epoch."""
    past, last = splits.leave_last_out(splits.leave_last_out(data.ratings)[0])
    part, valid = data.interactions(past), data.interactions(last)
    for kind in wanted or ("training matrix", "content"):
        rows = []
        for shape in SHAPES:
            model = NextCode(quantized(kind, "k-means", shape, data, part).codes, epochs=EPOCHS)

            def note(_: Writer, model=model, shape=shape, kind=kind, rows=rows) -> int:
                row = {"codes": kind, "levels": shape[0], "tokens": shape[1], "epochs": len(rows) % EPOCHS + 1}
                rows.append(row | {"validation": round(measure_lists(model, part, valid)["ndcg@10"], 4)})
                print(*rows[-1].values(), flush=True)
                return -len(rows)

            model.fit(part, validate=note)
        write("ch19_search", pd.DataFrame(rows), keys=["codes", "levels", "tokens", "epochs"], keep_others=True)


def models(data: MovieLens, wanted: list[str]) -> None:
    """Each kind of codes on the last film of each user."""
    train, test = map(data.interactions, splits.leave_last_out(data.ratings))
    rows, searches, free, users = [], [], [], pd.DataFrame({"user_id": train.user_ids})
    if wanted and (RESULTS / "ch19_users.csv").exists():
        users = pd.read_csv(RESULTS / "ch19_users.csv")
    for kind, quantiser in KINDS:
        name = f"{kind}, {quantiser}"
        if wanted and name not in wanted:
            continue
        hits = []
        for seed in SEEDS:
            model = made(kind, quantiser, data, train, seed)
            if (kind, quantiser) == BEST:
                model.fit(train, validate=partial(freely, model, test, seed, free))
                searches += beams(model, train, test, seed)
            else:
                model.fit(train)
            rows.append({"model": name, "codes": kind, "quantiser": quantiser, "seed": seed})
            rows[-1] |= measured(model, train, test) | {"loss": model.history.loss.iloc[-1]}
            hits.append(measure_lists_per_user(model, train, test)["hit_rate@10"])
            print(*rows[-1].values(), flush=True)
        users[name] = np.mean([each[users.user_id] for each in hits], axis=0)
        write("ch19_models", pd.DataFrame(rows), keys=["model", "seed"], keep_others=bool(wanted))
        write("ch19_users", users, keys=["user_id"])
        if (kind, quantiser) == BEST:
            write("ch19_beam", pd.DataFrame(searches), keys=["width", "seen films", "seed"])
            write("ch19_free", pd.DataFrame(free), keys=["seed", "epoch"])


def beams(model: NextCode, train: Interactions, test: Interactions, seed: int) -> list[dict]:
    """A row a width and way."""
    seen, (exact, _) = train.mask()[test.users], recommend(model, test.users, 10, exclude=train)
    rows = [{"width": "exact", "seen films": "", "seed": seed, **compared(exact, exact, test.items)}]
    for width in WIDTHS:
        inside, _ = model.recommend(test.users, min(10, width), width=width, exclude=train)
        found, _ = model.recommend(test.users, width, width=width)
        fresh = (found >= 0) & ~seen.gather(1, found.clamp(min=0))
        first = (~fresh).to(torch.uint8).argsort(dim=1, stable=True)  # those that stay come first, in their order
        after = found.masked_fill(~fresh, -1).gather(1, first)[:, :10]
        for way, lists in {"inside": inside, "afterwards": after}.items():
            rows.append({"width": width, "seen films": way, "seed": seed, **compared(lists, exact, test.items)})
            print(*rows[-1].values(), flush=True)
    return rows


def compared(lists: torch.Tensor, exact: torch.Tensor, items: torch.Tensor) -> dict[str, float]:
    """Films in a list, the share of the exact ten among them, and the share of users whose film is in the list."""
    real = lists >= 0
    same = ((lists[:, :, None] == exact[:, None, :]) & real[:, :, None]).any(1)  # (users, 10)
    return {
        "films": real.sum(1).double().mean().item(),
        "overlap": same.double().mean().item(),
        "hit_rate@10": ((lists == items[:, None]) & real).any(1).double().mean().item(),
    }


@torch.no_grad()
def freely(model: NextCode, test: Interactions, seed: int, rows: list[dict], network: Writer) -> int:
    """One more row: sentences of a search that knows no trie."""
    sizes = (model.sentences.amax(0) + 1).tolist()
    every = Trie(torch.cartesian_prod(*map(torch.arange, sizes)))
    place = torch.tensor(np.ravel_multi_index(model.sentences.T.numpy(), sizes))
    found = []
    for part in test.users.split(100):
        states = network(model._histories[part])[:, -1]
        found.append(beam_search(partial(network.logits, states), every, 10, rows=len(part))[0])
    share = 1 - torch.isin(torch.cat(found), place).double().mean().item()
    rows.append({"seed": seed, "epoch": sum(row["seed"] == seed for row in rows) + 1, "no film": share})
    print(*rows[-1].values(), flush=True)
    return -len(rows)


PARTS = {part.__name__: part for part in (search, models)}


def main(wanted: list[str]) -> None:
    """Run one part, of all kinds of codes or of some, or all parts."""
    data = movielens()
    for name in wanted[:1] or PARTS:
        PARTS[name](data, wanted[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
