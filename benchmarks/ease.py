"""EASE beside RecBole's: time, memory at the peak, and lists from fewer weights, in one run.

    python benchmarks/ease.py
    python benchmarks/ease.py --only movielens    # some seconds; growth: ten minutes, most of them for 20,000 items

All sides run on one thread. RecBole's model file comes as ``_recbole.py`` says; it computes in float32, ours in
float64. Their weights must agree before they are timed. Both invert one matrix of all items: RecBole by
``numpy.linalg.inv``, ours by the factor of Cholesky, in the place of the matrix itself. Memory is what a fit adds to
that of the process at its peak, in squares of items x items x 8 bytes; the model that it leaves is one such square
for ours. The peer that inverts in float64, NumPy's, is not asked at 20,000 items: it has four squares.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

from _recbole import FOLDER, model
from _timing import Row, Times, compare, parser, peer, report, show_times, stopwatch, timed, turns

# isort: split
import numpy as np
import pandas as pd
import torch
from _data import power_law
from scipy import sparse

from course_utils.data import Interactions, load_movielens, splits
from course_utils.evaluation import measure_lists
from course_utils.models.neighbors import EASE

KEPT = (50, 100, 200)  # weights of a column


class Config(dict):
    """Settings as RecBole reads them: by name and as an attribute."""

    def __getattr__(self, name: str) -> object:
        """The setting of this name."""
        return self[name]


def recbole(train: Interactions) -> Callable[[], torch.nn.Module] | None:
    """A call that fits RecBole's model, None where it cannot be imported."""
    if not (theirs := peer("RecBole", lambda: model("EASE", FOLDER))):
        return None
    seen = sparse.csr_matrix(train.csr(binary=True))
    data = SimpleNamespace(num=lambda name: seen.shape[name == "item"], inter_matrix=lambda form: seen)
    config = Config(USER_ID_FIELD="user", ITEM_ID_FIELD="item", NEG_PREFIX="", device="cpu", reg_weight=400.0)
    return lambda: theirs(config, data)


def movielens_row(repeats: int) -> Row:
    """Fit and scores of all users, which agree."""
    train = Interactions.from_frame(load_movielens().ratings)
    users = torch.arange(train.n_users)

    def ours() -> torch.Tensor:
        return EASE(400).fit(train).score(users)

    sides = {"ours": stopwatch(ours)}
    if theirs := recbole(train):

        def fitted() -> torch.Tensor:
            return theirs().full_sort_predict({"user": users}).view(train.n_users, -1)

        torch.testing.assert_close(fitted().double(), ours(), rtol=0, atol=1e-3)
        sides["RecBole"] = stopwatch(fitted)
    return compare(turns(sides, max(3, repeats)), "EASE, fit and scores, MovieLens-100K", "ours", "RecBole")


class Kept:
    """EASE with the k weights of each column that are furthest from 0, as a sparse matrix; by all of them without k."""

    def __init__(self, fitted: EASE, k: int | None = None) -> None:
        self.seen, weights = fitted._seen, fitted.weights.numpy()
        if k is not None:
            least = -np.partition(-np.abs(weights), k - 1, axis=0)[k - 1]
            weights = sparse.csr_array(np.where(np.abs(weights) >= least, weights, 0))
        self.weights = weights

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """Sums of weights, ``(len(users), n_items)``."""
        found = self.seen[users.numpy()] @ self.weights
        return torch.from_numpy(found.toarray() if sparse.issparse(found) else found)


def kept_row(repeats: int) -> Row:
    """Scores of all users from 100 weights a column, and what fewer weights cost: NDCG@10, seeds 0, 1, 2."""
    movielens, quality = load_movielens(), {}
    for seed in range(3):
        train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=seed))
        fitted = EASE().fit(train)
        for k in (None, *KEPT):
            quality.setdefault(k, []).append(measure_lists(Kept(fitted, k), train, test)["ndcg@10"])
    users, name = torch.arange(train.n_users), "all weights"
    sides = {f"{k} weights a column": Kept(fitted, k) for k in KEPT} | {name: Kept(fitted)}
    times = turns(
        {side: stopwatch(lambda made=made: made.score(users)) for side, made in sides.items()}, max(3, repeats)
    )
    question = "EASE, scores of all users, MovieLens-100K"
    show_times(question, times)
    few = ", ".join(f"{np.mean(quality[k]):.3f} with {k}" for k in KEPT)
    note = f"NDCG@10 {np.mean(quality[None]):.3f} with all {train.n_items:,} weights of a column, {few}"
    return compare(times, question, f"{KEPT[1]} weights a column", name, note=note)


def peak() -> int:
    """Bytes that this process has had at most, Linux alone: since :func:`measured` was last called."""
    with suppress(OSError):
        return 1024 * int(re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())[1])
    return 0


def measured(run: Callable[[], object]) -> tuple[object, float, int]:
    """What the call gave, its seconds, and the bytes that it added at its peak."""
    gc.collect()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = peak()
    return *timed(run), peak() - before


def numpy_inverse(train: Interactions) -> np.ndarray:
    """The weights as the formula stands, without a thought of memory."""
    seen = train.csr(binary=True)
    inverse = np.linalg.inv((seen.T @ seen).toarray() + 400 * np.eye(train.n_items))
    weights = -inverse / inverse.diagonal()
    np.fill_diagonal(weights, 0)
    return weights


def growth_rows(n_items: int, repeats: int) -> list[Row]:
    """The fit for a large catalogue, by turns; each side's memory; all weights agree."""
    users, items = power_law(20_000, n_items, 1_000_000)
    frame = pd.DataFrame({"user_id": users, "item_id": items})
    train = Interactions.from_frame(frame, user_ids=np.arange(20_000), item_ids=np.arange(n_items))
    fits = {"ours": lambda: EASE(400).fit(train).weights}
    if n_items <= 10_000:
        fits["NumPy's inverse"] = lambda: torch.from_numpy(numpy_inverse(train))
    if theirs := recbole(train):
        fits["RecBole, float32"] = lambda: torch.as_tensor(theirs().item_similarity)
    square, places, some, peaks = 8 * n_items**2, slice(None, None, 97), {}, {}

    def side(name: str) -> Callable[[], float]:
        def run() -> float:
            weights, seconds, peaks[name] = measured(fits[name])
            some[name] = weights[places, places].double().clone()
            return seconds

        return run

    times: Times = turns({name: side(name) for name in fits}, repeats, warm_up=False)
    question = f"EASE, fit, 20,000 x {n_items:,}, 1,000,000 entries"
    show_times(question, times)
    for name, weights in some.items():
        torch.testing.assert_close(weights, some["ours"], rtol=0, atol=1e-4 if "32" in name else 1e-10)
    rows = []
    for name in ["NumPy's inverse"] * (n_items <= 10_000) + ["RecBole, float32"]:
        memory = " and ".join(f"{peaks[each] / square:.2f}" for each in ("ours", name) if each in peaks)
        note = (
            f"memory at the peak {memory} squares of {square / 1e9:.1f} GB; the model is one: an inverse has no zeros"
        )
        rows.append(compare(times, question, "ours", name, note=note))
    return rows


def main() -> None:
    arguments = parser(__doc__, repeats=3)
    arguments.add_argument("--only", choices=["movielens", "growth"], help="one part alone")
    arguments.add_argument("--items", type=int, nargs="*", default=[10_000, 20_000], help="of the growth")
    options = arguments.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    rows = []
    if options.only != "growth":
        rows += [movielens_row(options.repeats), kept_row(options.repeats)]
    if options.only != "movielens":
        for n_items in options.items:  # the time grows with the third power: a turn of 20,000 is as long as eight
            rows += growth_rows(n_items, min(2, options.repeats) if n_items <= 10_000 else 1)
    report(rows)


if __name__ == "__main__":
    main()
