"""Neighbourhood models beside Surprise and implicit: error, list quality and time, in one run.

    python benchmarks/neighbors.py [--folds 5] [--repeats 3]

Each repetition runs every model once on every fold, one after the other, so that a busy minute hits all of them.
A time is fit plus prediction on one thread, from data already in the library's own form. Seconds are medians over
the repetitions and folds; trust the ratio of one run, not the seconds. Peers: ``pip install scikit-surprise implicit``.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import product

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from course_utils import evaluate, splits
from course_utils.baselines import BiasModel
from course_utils.data import load_movielens
from course_utils.interactions import Interactions
from course_utils.metrics import rmse
from course_utils.neighbors import EASE, ItemKNN, UserKNN, similarities

Rows = dict[str, list[tuple[float, float]]]  # quality and seconds of each run, by model
RATING_MODELS = {
    "BiasModel()": BiasModel,
    "ItemKNN(similarity='adjusted_cosine', shrinkage=25)": lambda: ItemKNN(
        similarity="adjusted_cosine", shrinkage=25
    ),
    "ItemKNN()": ItemKNN,
    "UserKNN(similarity='pearson', shrinkage=25)": lambda: UserKNN(similarity="pearson", shrinkage=25),
    "UserKNN()": UserKNN,
}
LIST_MODELS = {
    "ItemKNN()": ItemKNN,
    "ItemKNN(300)": lambda: ItemKNN(300),
    "UserKNN()": UserKNN,
    "EASE()": EASE,
}


def surprise_models() -> dict[str, Callable]:
    """Surprise's neighbourhood models, or none with a line that says so."""
    try:
        from surprise import KNNBaseline
    except ImportError as error:
        print(f"skipped: Surprise ({error}); pip install scikit-surprise\n")
        return {}
    best = {"name": "pearson_baseline", "user_based": False}
    return {
        "Surprise item KNNBaseline, pearson_baseline": lambda: KNNBaseline(sim_options=best, verbose=False),
        "Surprise KNNBaseline()": lambda: KNNBaseline(verbose=False),
    }


def implicit_models() -> dict[str, Callable]:
    """The item neighbours of implicit, or none with a line that says so."""
    try:
        from implicit import nearest_neighbours as peer
    except ImportError as error:
        print(f"skipped: implicit ({error}); pip install implicit\n")
        return {}
    return {
        "implicit CosineRecommender(20)": lambda: peer.CosineRecommender(K=20, num_threads=1),
        "implicit TFIDFRecommender(20)": lambda: peer.TFIDFRecommender(K=20, num_threads=1),
    }


def timed(run: Callable, *arguments: object) -> tuple[object, float]:
    """What the call gave, and its seconds of CPU: on a shared machine they repeat better than the clock on the wall."""
    start = time.process_time()
    return run(*arguments), time.process_time() - start


def surprise_data(train: Interactions, test: Interactions) -> tuple[object, list]:
    from surprise import Dataset, Reader

    columns = {"user": train.users.tolist(), "item": train.items.tolist(), "rating": train.ratings.tolist()}
    data = Dataset.load_from_df(pd.DataFrame(columns), Reader(rating_scale=(1, 5)))
    pairs = zip(test.users.tolist(), test.items.tolist(), test.ratings.tolist(), strict=True)
    return data.build_full_trainset(), list(pairs)


def rating_rows(folds: int, repeats: int) -> Rows:
    """RMSE and seconds of each model, once a fold and repetition."""
    movielens, peers, rows = load_movielens(), surprise_models(), defaultdict(list)
    for _, (number, fold) in product(range(repeats), enumerate(splits.k_fold(movielens.ratings, 5, seed=0))):
        if number >= folds:
            continue
        train, test = map(movielens.interactions, fold)
        for name, make in RATING_MODELS.items():
            model = make()
            _, fitting = timed(model.fit, train)
            predicted, predicting = timed(model.predict, test.users, test.items)
            rows[name].append((rmse(predicted.clamp(1, 5), test.ratings), fitting + predicting))
        trainset, pairs = surprise_data(train, test) if peers else (None, [])
        for name, make in peers.items():
            model = make()
            _, fitting = timed(model.fit, trainset)
            found, predicting = timed(model.test, pairs)
            error = rmse(torch.tensor([prediction.est for prediction in found]), test.ratings)
            rows[name].append((error, fitting + predicting))
    return rows


class Lists:
    """Lists of another library as a recommender: the best item scores highest."""

    def __init__(self, items: np.ndarray, n_items: int) -> None:
        self.items, self.n_items = torch.from_numpy(items.astype(np.int64)), n_items

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Minus the place in the list, minus infinity outside of it."""
        items = self.items[users]
        places = -torch.arange(items.shape[1], dtype=torch.get_default_dtype()).expand(items.shape)
        return torch.full((len(users), self.n_items), -torch.inf).scatter(1, items, places)


def list_rows(repeats: int) -> Rows:
    """NDCG@10 and seconds of fit and lists of each model, seeds 0, 1, 2."""
    movielens, peers, rows = load_movielens(), implicit_models(), defaultdict(list)
    for _, seed in product(range(repeats), range(3)):
        train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=seed))
        users, seen = torch.arange(train.n_users), sparse.csr_matrix(train.csr())
        for name, make in LIST_MODELS.items():
            model = make()
            _, fitting = timed(model.fit, train)
            _, listing = timed(evaluate.recommend, model, users, 10, train)
            rows[name].append((evaluate.top_n(model, train, test)["ndcg@10"], fitting + listing))
        for name, make in peers.items():
            model = make()
            _, fitting = timed(model.fit, seen, False)
            (items, _), listing = timed(model.recommend, users.numpy(), seen, 10, True)
            quality = evaluate.top_n(Lists(items, train.n_items), train, test, mask_train=False)["ndcg@10"]
            rows[name].append((quality, fitting + listing))
    return rows


def scale_rows(repeats: int) -> Rows:
    """Seconds for all item cosines of 20,000 users, 5,000 items and about 742,000 interactions."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(20, 5_020)
    pairs = np.unique(
        rng.integers(0, 20_000, 765_000) * 5_000 + rng.choice(5_000, 765_000, p=share / share.sum())
    )
    users, items = np.divmod(pairs, 5_000)
    matrix = sparse.csr_array((np.ones(len(pairs)), (items, users)), shape=(5_000, 20_000))
    return {
        "similarities(matrix)": [
            (float(matrix.nnz), timed(lambda: similarities(matrix))[1]) for _ in range(repeats)
        ]
    }


def show(title: str, measure: str, rows: Rows, reference: str) -> None:
    """One Markdown table; ratios pair runs of the same fold and repetition (of the first row without the peer)."""
    reference = reference if reference in rows else next(iter(rows))
    base = np.array([seconds for _, seconds in rows[reference]])
    print(f"{title} (ratio 1: {reference})\n")
    print(f"| model | {measure} | sd | seconds | median ratio | worst |\n|---|---|---|---|---|---|")
    for name, values in rows.items():
        quality, seconds = np.array(values).T
        spread = quality.std() * np.sqrt(len(quality) / max(1, len(quality) - 1))
        ratio = seconds / base
        print(
            f"| {name} | {quality.mean():.4f} | {spread:.4f} | {np.median(seconds):.2f} "
            f"| {np.median(ratio):.2f} | {ratio.max():.2f} |"
        )
    print()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    title = f"Ratings, k_fold(seed=0), {options.folds} fold(s) x {options.repeats} repetition(s)"
    peer = "Surprise item KNNBaseline, pearson_baseline"
    show(title, "RMSE", rating_rows(options.folds, options.repeats), peer)
    title = f"Lists, random_split, seeds 0, 1, 2 x {options.repeats} repetition(s), all ratings positive"
    show(title, "NDCG@10", list_rows(options.repeats), "implicit CosineRecommender(20)")
    show("Scale, one thread", "interactions", scale_rows(options.repeats), "")


if __name__ == "__main__":
    main()
