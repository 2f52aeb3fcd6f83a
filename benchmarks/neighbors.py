"""Neighbourhood models beside Surprise and implicit: error, list quality and time, in one run.

    python benchmarks/neighbors.py [--folds 5] [--repeats 1]

Each repetition runs every model once on every fold, one after the other, so that a busy minute hits all of them.
A time is fit plus prediction on one thread, from data already in the library's own form. Seconds are medians over
the repetitions and folds; trust the ratio of one run, not the seconds. The peers are Surprise and implicit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import product

from _timing import Row, compare, parser, peer, report, stopwatch, timed, turns

# isort: split
import numpy as np
import pandas as pd
import torch
from _data import power_law
from scipy import sparse

from course_utils.data import Interactions, load_movielens, splits
from course_utils.evaluation import measure_lists, recommend
from course_utils.evaluation.metrics import rmse
from course_utils.models.baselines import BiasModel
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN

Rows = dict[str, list[tuple[float, float]]]  # quality and seconds of each run, by model
RATING_MODELS = {
    "BiasModel()": BiasModel,
    "ItemKNN, adjusted cosine": lambda: ItemKNN(similarity="adjusted_cosine", shrinkage=25),
    "ItemKNN()": ItemKNN,
    "UserKNN, pearson": lambda: UserKNN(similarity="pearson", shrinkage=25),
    "UserKNN()": UserKNN,
}
LIST_MODELS = {"ItemKNN()": ItemKNN, "ItemKNN(300)": lambda: ItemKNN(300), "UserKNN()": UserKNN, "EASE()": EASE}


def surprise_models() -> dict[str, Callable]:
    """Surprise's neighbourhood models, none where it cannot be imported."""

    def load() -> dict[str, Callable]:
        from surprise import KNNBaseline

        best = {"name": "pearson_baseline", "user_based": False}
        return {
            "Surprise item KNNBaseline": lambda: KNNBaseline(sim_options=best, verbose=False),
            "Surprise KNNBaseline()": lambda: KNNBaseline(verbose=False),
        }

    return peer("Surprise", load) or {}


def implicit_models() -> dict[str, Callable]:
    """The item neighbours of implicit, none where it cannot be imported."""

    def load() -> dict[str, Callable]:
        from implicit import nearest_neighbours as theirs

        return {
            "implicit CosineRecommender(20)": lambda: theirs.CosineRecommender(K=20, num_threads=1),
            "implicit TFIDFRecommender(40)": lambda: theirs.TFIDFRecommender(K=40, num_threads=1),
        }

    return peer("implicit", load) or {}


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
            _, listing = timed(recommend, model, users, 10, train)
            rows[name].append((measure_lists(model, train, test)["ndcg@10"], fitting + listing))
        for name, make in peers.items():
            model = make()
            _, fitting = timed(model.fit, seen, False)
            (items, _), listing = timed(model.recommend, users.numpy(), seen, 10, True)
            quality = measure_lists(Lists(items, train.n_items), train, test, mask_train=False)["ndcg@10"]
            rows[name].append((quality, fitting + listing))
    return rows


def growth_row(n_items: int, repeats: int) -> Row:
    """ItemKNN's fit beside implicit's, for a catalogue whose table of similarities would not fit."""
    users, items = power_law(20_000, n_items, 1_000_000)
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    train = Interactions.from_frame(frame, user_ids=np.arange(20_000), item_ids=np.arange(n_items))
    matrix, name = sparse.csr_matrix(train.csr()), "implicit TFIDFRecommender(40)"
    sides = {"ItemKNN()": stopwatch(lambda: ItemKNN().fit(train))}
    if theirs := implicit_models().get(name):
        sides[name] = stopwatch(lambda: theirs().fit(matrix, False))
    times = turns(sides, max(3, repeats), warm_up=False)
    note = f"a table of all similarities would have {8 * n_items**2 / 1e9:.1f} GB"
    return compare(times, f"fit, 20,000 x {n_items:,}, 1,000,000 entries", "ItemKNN()", name, note=note)


def show(title: str, measure: str, rows: Rows) -> None:
    """One Markdown table."""
    print(f"\n{title}\n")
    print(f"| model | {measure} | sd | seconds | range |\n|---|---|---|---|---|")
    for name, values in rows.items():
        quality, seconds = np.array(values).T
        spread = quality.std() * np.sqrt(len(quality) / max(1, len(quality) - 1))
        print(
            f"| {name} | {quality.mean():.4f} | {spread:.4f} | {np.median(seconds):.2f} "
            f"| {seconds.min():.2f} to {seconds.max():.2f} |"
        )


def answer(question: str, measure: str, rows: Rows, ours: str, theirs: str) -> Row:
    """Ratio of the seconds, run by run, and the two qualities, without which a time says little."""
    quality = [f"{np.mean([found for found, _ in rows[name]]):.3f}" for name in (ours, theirs) if name in rows]
    times = {name: [seconds for _, seconds in values] for name, values in rows.items()}
    return compare(times, question, ours, theirs, note=f"{measure} {' and '.join(quality)}")


def main() -> None:
    arguments = parser(__doc__, repeats=1)
    arguments.add_argument("--folds", type=int, default=5)
    options = arguments.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    found = rating_rows(options.folds, options.repeats)
    show(f"Ratings, k_fold(seed=0), {options.folds} fold(s) x {options.repeats} turn(s)", "RMSE", found)
    question = "fit and predict ratings, MovieLens-100K"
    rows = [
        answer(question, "RMSE", found, "ItemKNN, adjusted cosine", "Surprise item KNNBaseline"),
        answer(question, "RMSE", found, "UserKNN()", "Surprise KNNBaseline()"),
    ]
    found = list_rows(options.repeats)
    show(f"Lists, random_split, seeds 0, 1, 2 x {options.repeats} turn(s), all positive", "NDCG@10", found)
    question = "fit and ten items a user, MovieLens-100K"
    rows += [
        answer(question, "NDCG@10", found, "ItemKNN()", "implicit TFIDFRecommender(40)"),
        answer(question, "NDCG@10", found, "ItemKNN()", "implicit CosineRecommender(20)"),
        answer(question, "NDCG@10", found, "EASE()", "implicit CosineRecommender(20)"),
    ]
    rows += [growth_row(n, options.repeats) for n in (10_000, 20_000)]
    report(rows)


if __name__ == "__main__":
    main()
