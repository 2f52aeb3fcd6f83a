"""How fast do the samplers draw, beside PyTorch Geometric and beside drawing again on a collision?

    python benchmarks/sampling.py [--repeats 5] [--triples 1000000]

A triple is a user, one of the user's items, and a negative. All run on one thread, by turns, on MovieLens-100K and on
a matrix of 20,000 x 5,000 with 10^6 entries. Times are processor time for all triples. Rejection in numpy is how
RecBole draws. Mining chooses one of a pool of five uniform candidates; its time includes the draw of the pool, not the
scores, which are the model's. One batch of 1,000 makes 10^6 triples in the batch. A sampler that draws a training
positive stops the run.
"""

from __future__ import annotations

from collections.abc import Callable

from _timing import Row, Times, compare, parser, report, show_times, timed, turns

# isort: split
import numpy as np
import pandas as pd
import torch
from _data import power_law
from torch_geometric.utils import structured_negative_sampling

from course_utils.data import Interactions, load_movielens
from course_utils.learning import negatives

Run = Callable[[], torch.Tensor | np.ndarray]


def large() -> Interactions:
    """20,000 users, 5,000 items, 10^6 random pairs."""
    users, items = power_law(20_000, 5_000, 1_000_000)
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    return Interactions.from_frame(frame, user_ids=np.arange(20_000), item_ids=np.arange(5_000))


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
    chance = negatives.log_popularity(data).exp().numpy()
    edges, side = torch.stack([users, items]), int(len(rows) ** 0.5)
    scores, positive = torch.randn(len(rows), 5), torch.randn(len(rows))

    def draw(sampler: Callable[..., torch.Tensor], n: int = 1) -> torch.Tensor:
        return sampler(data, users, n, generator=torch.Generator().manual_seed(0))

    def mined(choose: Callable[[], torch.Tensor]) -> torch.Tensor:
        return draw(negatives.uniform, 5).gather(1, choose())

    return {
        "numpy, rejection, uniform": lambda: rejection(data, users.numpy(), None, 0),
        "numpy, rejection, popularity": lambda: rejection(data, users.numpy(), chance, 0),
        "PyG structured_negative_sampling": lambda: structured_negative_sampling(edges, data.n_items)[2],
        "uniform": lambda: draw(negatives.uniform),
        "popularity": lambda: draw(negatives.popularity),
        "hard, of a pool of 5": lambda: mined(lambda: negatives.hard(scores)),
        "semi_hard, of a pool of 5": lambda: mined(lambda: negatives.semi_hard(positive, scores)),
        "in_batch, one batch": lambda: negatives.in_batch(data, users[:side], items[:side]),
    }


def against(name: str, data: Interactions, triples: int, repeats: int) -> list[Row]:
    """Times of all samplers by turns; none may draw a training positive."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(triples, generator=generator) % len(data)  # every pair, about equally often
    known = torch.from_numpy(np.unique(data.users.numpy() * data.n_items + data.items.numpy()))

    def side(label: str, run: Run) -> Callable[[], float]:
        def once() -> float:
            drawn, seconds = timed(run)
            drawn = torch.as_tensor(drawn)
            if drawn.numel() == triples and drawn.dtype == torch.long:
                pairs = data.users[rows] * data.n_items + drawn.flatten()
                assert not torch.isin(pairs, known).any(), f"{label} drew training positives"
            return seconds

        return once

    sides = {label: side(label, run) for label, run in runs(data, rows).items()}
    times = turns(sides, repeats, warm_up=False)
    title = f"{triples:,} triples, {name}"
    show_times(title, times)
    return answers(title, times)


def answers(title: str, times: Times) -> list[Row]:
    """Each sampler beside its peers, and what mining costs beside the uniform draw."""
    pairs = [
        ("uniform", "numpy, rejection, uniform"),
        ("popularity", "numpy, rejection, popularity"),
        ("uniform", "PyG structured_negative_sampling"),
        ("hard, of a pool of 5", "uniform"),
        ("semi_hard, of a pool of 5", "uniform"),
        ("in_batch, one batch", "uniform"),
    ]
    return [compare(times, f"negatives, {title}", *pair) for pair in pairs]


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--triples", type=int, default=1_000_000)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    movielens = Interactions.from_frame(load_movielens().ratings)
    rows = against("MovieLens-100K", movielens, options.triples, options.repeats)
    rows += against("20,000 x 5,000, 1,000,000 entries", large(), options.triples, min(3, options.repeats))
    report(rows)


if __name__ == "__main__":
    main()
