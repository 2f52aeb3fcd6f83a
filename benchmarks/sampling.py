"""How fast do the samplers draw, beside PyTorch Geometric and beside drawing again on a collision?

    python benchmarks/sampling.py [--repeats 7] [--triples 1000000]

A triple is a user, one of the user's items, and a negative. All run on one thread (``OMP_NUM_THREADS=2`` asks for
two), by turns, on MovieLens-100K and on a matrix of 20,000 x 5,000 with 10^6 entries. Times are processor seconds for
all triples, medians over the repetitions; a ratio is the median of ours divided by rejection in numpy, which is how
RecBole draws. Mining chooses one of a pool of five uniform candidates; its time includes the draw of the pool, not the
scores, which are the model's. One batch of 1,000 makes 10^6 triples in the batch. The last column counts negatives
that are training positives: it must be 0.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from statistics import median
from time import process_time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from torch_geometric.utils import structured_negative_sampling

from course_utils import sampling
from course_utils.data import load_movielens
from course_utils.interactions import Interactions

Run = Callable[[], torch.Tensor | np.ndarray]


def power_law(n_users: int, n_items: int, n_entries: int) -> Interactions:
    """Random distinct pairs; activity and popularity fall like a power of the rank."""
    rng = np.random.default_rng(0)
    found = np.empty(0, np.int64)
    while len(found) < n_entries:
        codes = []
        for size, power in ((n_users, 0.7), (n_items, 0.9)):
            weight = (np.arange(size) + 10.0) ** -power
            codes.append(rng.choice(size, n_entries, p=weight / weight.sum()))
        found = np.unique(np.concatenate([found, codes[0] * n_items + codes[1]]))
    users, items = np.divmod(rng.permutation(found)[:n_entries], n_items)
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    return Interactions.from_frame(frame, user_ids=np.arange(n_users), item_ids=np.arange(n_items))


def rejection(data: Interactions, users: np.ndarray, chance: np.ndarray | None, seed: int) -> np.ndarray:
    """The usual way: draw for all, find those that hit a positive, draw again for these until none is left."""
    rng = np.random.default_rng(seed)
    known = np.unique(data.users.numpy() * data.n_items + data.items.numpy())
    drawn = np.empty(len(users), np.int64)
    open_ = np.arange(len(users))
    while len(open_):
        drawn[open_] = rng.choice(data.n_items, len(open_), p=chance)
        pairs = users[open_] * data.n_items + drawn[open_]
        place = np.searchsorted(known, pairs).clip(max=len(known) - 1)
        open_ = open_[known[place] == pairs]
    return drawn


def runs(data: Interactions, rows: torch.Tensor) -> dict[str, Run]:
    """What is timed, by name; each gives a negative for each row, and the last the mask of one large batch."""
    users, items = data.users[rows], data.items[rows]
    chance = sampling.log_popularity(data).exp().numpy()
    edges, side = torch.stack([users, items]), int(len(rows) ** 0.5)
    scores, positive = torch.randn(len(rows), 5), torch.randn(len(rows))

    def draw(sampler: Callable[..., torch.Tensor], n: int = 1) -> torch.Tensor:
        return sampler(data, users, n, generator=torch.Generator().manual_seed(0))

    def mined(choose: Callable[[], torch.Tensor]) -> torch.Tensor:
        return draw(sampling.uniform, 5).gather(1, choose())

    return {
        "numpy, rejection, uniform": lambda: rejection(data, users.numpy(), None, 0),
        "numpy, rejection, popularity": lambda: rejection(data, users.numpy(), chance, 0),
        "PyG structured_negative_sampling": lambda: structured_negative_sampling(edges, data.n_items)[2],
        "uniform": lambda: draw(sampling.uniform),
        "popularity": lambda: draw(sampling.popularity),
        "hard, of a pool of 5": lambda: mined(lambda: sampling.hard(scores)),
        "semi_hard, of a pool of 5": lambda: mined(lambda: sampling.semi_hard(positive, scores)),
        "in_batch, one batch": lambda: sampling.in_batch(data, users[:side], items[:side]),
    }


def compare(name: str, data: Interactions, triples: int, repeats: int) -> None:
    """One table."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(triples, generator=generator) % len(data)  # every pair, about equally often
    known = torch.from_numpy(np.unique(data.users.numpy() * data.n_items + data.items.numpy()))
    seconds: dict[str, list[float]] = {}
    wrong: dict[str, str] = {}
    for _ in range(repeats):
        for label, run in runs(data, rows).items():
            begin = process_time()
            drawn = torch.as_tensor(run())
            seconds.setdefault(label, []).append(process_time() - begin)
            if drawn.numel() == triples and drawn.dtype == torch.long:
                pairs = data.users[rows] * data.n_items + drawn.flatten()
                wrong[label] = f"{int(torch.isin(pairs, known).sum())}"
    base = seconds["numpy, rejection, uniform"]
    print(f"\n{name}: {triples:,} triples, {torch.get_num_threads()} thread(s)\n")
    print("| sampler | seconds | ratio | positives among them |\n|---|---|---|---|")
    for label, values in seconds.items():
        ratio = median(a / b for a, b in zip(values, base, strict=True))
        print(f"| {label} | {median(values):.3f} | {ratio:.2f} | {wrong.get(label, '-')} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--triples", type=int, default=1_000_000)
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    compare(
        "MovieLens-100K", Interactions.from_frame(load_movielens().ratings), options.triples, options.repeats
    )
    compare(
        "20,000 x 5,000, 10^6 entries", power_law(20_000, 5_000, 1_000_000), options.triples, options.repeats
    )


if __name__ == "__main__":
    main()
