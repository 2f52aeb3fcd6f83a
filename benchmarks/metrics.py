"""What do NDCG, MAP and recall at 10 cost, from a table of scores, beside ranx and beside the cut to ten items alone?

    python benchmarks/metrics.py
    python benchmarks/metrics.py --only small

Each side starts from the same two tables: scores, float32, and which items are relevant, bool, both users x items.
Nothing is masked on any side. Users whose eleven best scores hold a tie give way to others, so that each library has
one right answer. The values must agree before anything is timed. MAP is divided by the number of relevant items here,
as ranx has it. One thread, processor time, by turns.

- ours: ``ranking.top_k``, the hits once, three metrics. ``one call a metric`` looks the hits up three times.
- ``measure_lists``: the whole protocol on the same scores: eight metrics, coverage and Gini, in batches of 1,024.
- torch.topk: the ten best items of each user and no metric: what no library can avoid.
- ranx: lists by ``torch.topk``, then its dictionaries, ``Run``, ``Qrels`` and ``evaluate``. ``truth ready`` has its
  ``Qrels`` made before, ``metrics alone`` its ``Run`` too.
- scikit-learn: ``ndcg_score`` on the smaller table, NDCG alone.
- torchmetrics: its three functions take one user at a time; 100 users of the smaller table.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType

from _timing import Row, compare, parser, peer, report, show_times, stopwatch, turns

# isort: split
import numpy as np
import pandas as pd
import torch

from course_utils import ranking
from course_utils.data import Interactions
from course_utils.evaluation import measure_lists, metrics

K, NAMES = 10, ["ndcg@10", "map@10", "recall@10"]
Values = dict[str, float]


class World:
    """Scores ``(n_users, n_items)`` of a factor model, and 1 to 40 relevant items a user, which it finds in part."""

    def __init__(self, n_users: int, n_items: int) -> None:
        generator = torch.Generator().manual_seed(0)
        users, items = (torch.randn(n, 8, generator=generator) for n in (n_users, n_items))
        self.scores = users.float() @ items.T.float()
        best = self.scores.topk(K + 1, dim=1).values
        tied = (best[:, 1:] == best[:, :-1]).any(dim=1)
        self.scores[tied] = self.scores[~tied][: int(tied.sum())]
        noisy = self.scores + 4 * torch.randn(n_users, n_items, generator=generator).float()
        wanted = torch.arange(40) < torch.randint(1, 41, (n_users, 1), generator=generator)
        self.relevant = torch.zeros(n_users, n_items, dtype=torch.bool)
        self.relevant.scatter_(1, noisy.topk(40, dim=1).indices, wanted)

    def interactions(self) -> tuple[Interactions, Interactions]:
        """An empty training part and the relevant items as the test part."""
        users, items = self.relevant.numpy().nonzero()
        pairs = pd.DataFrame({"user_id": users, "item_id": items})
        ids = {"user_ids": np.arange(len(self.scores)), "item_ids": np.arange(self.scores.shape[1])}
        return Interactions.from_frame(pairs.iloc[:0], **ids), Interactions.from_frame(pairs, **ids)

    def score(self, users: torch.Tensor) -> torch.Tensor:
        """What makes it a recommender; the users come in order and without a gap."""
        return self.scores[int(users[0]) : int(users[-1]) + 1]


def three(lists: torch.Tensor, relevant: torch.Tensor | metrics.Hits) -> Values:
    values = (
        metrics.ndcg_at_k(lists, relevant, K),
        metrics.average_precision_at_k(lists, relevant, K, normalizer="relevant"),
        metrics.recall_at_k(lists, relevant, K),
    )
    return dict(zip(NAMES, (float(value.nanmean()) for value in values), strict=True))


def ours(scores: torch.Tensor, relevant: torch.Tensor) -> Values:
    lists = ranking.top_k(scores, K)
    return three(lists, metrics.find_hits(lists, relevant, K))


class Ranx:
    """ranx from the two tables, step by step."""

    def __init__(self, library: ModuleType, world: World) -> None:
        self.library, self.world = library, world
        n_users, n_items = world.scores.shape
        self.users = [f"u{user}" for user in range(n_users)]
        self.items = np.array([f"i{item}" for item in range(n_items)])

    def truth(self) -> object:
        """What is relevant, as ranx has it."""
        rows, columns = self.world.relevant.numpy().nonzero()
        pieces = np.split(self.items[columns], np.flatnonzero(np.diff(rows)) + 1)
        return self.library.Qrels(
            {user: dict.fromkeys(piece.tolist(), 1) for user, piece in zip(self.users, pieces, strict=True)}
        )

    def run(self) -> object:
        """The ten best items of each user, as ranx has them."""
        values, codes = self.world.scores.topk(K, dim=1)
        lists = zip(self.users, self.items[codes.numpy()].tolist(), values.tolist(), strict=True)
        return self.library.Run({user: dict(zip(*best, strict=True)) for user, *best in lists})

    def values(self, truth: object, run: object) -> Values:
        """The three means."""
        found = self.library.evaluate(truth, run, NAMES, save_results_in_run=False)
        return {name: float(value) for name, value in found.items()}

    def sides(self, known: Values) -> dict[str, Callable[[], object]]:
        """What is timed, once the values agree with ours."""
        truth, run = self.truth(), self.run()
        agree("ranx", self.values(truth, run), known)
        return {
            "ranx": lambda: self.values(self.truth(), self.run()),
            "ranx, truth ready": lambda: self.values(truth, self.run()),
            "ranx, metrics alone": lambda: self.values(truth, run),
        }


def agree(name: str, found: Values, known: Values, rtol: float = 1e-9) -> None:
    for metric, value in found.items():
        assert abs(value - known[metric]) <= rtol * known[metric], (name, metric, value, known[metric])


def our_sides(world: World, known: Values) -> dict[str, Callable[[], object]]:
    scores, relevant = world.scores, world.relevant
    lists, parts = ranking.top_k(scores, K), world.interactions()
    agree("one call a metric", three(lists, relevant), known)
    whole = measure_lists(world, *parts, K)
    agree("measure_lists", {name: whole[name] for name in ("ndcg@10", "recall@10")}, known)
    return {
        "torch.topk": lambda: scores.topk(K, dim=1),
        "ours": lambda: ours(scores, relevant),
        "ours, one call a metric": lambda: three(ranking.top_k(scores, K), relevant),
        "ours, metrics alone": lambda: three(lists, metrics.find_hits(lists, relevant, K)),
        "measure_lists": lambda: measure_lists(world, *parts, K),
    }


def against(title: str, world: World, repeats: int) -> list[Row]:
    known = ours(world.scores, world.relevant)
    print(f"\n{title}:", ", ".join(f"{name} {value:.4f}" for name, value in known.items()))
    sides = our_sides(world, known)
    if library := peer("ranx", lambda: __import__("ranx")):
        sides |= Ranx(library, world).sides(known)
    times = turns({name: stopwatch(run) for name, run in sides.items()}, repeats)
    show_times(title, times)
    pairs = [
        ("ours", "ranx"),
        ("ours", "torch.topk"),
        ("ours, one call a metric", "torch.topk"),
        ("ours", "ranx, truth ready"),
        ("ours, metrics alone", "ranx, metrics alone"),
        ("measure_lists", "ranx"),
    ]
    question = f"scores to NDCG, MAP, recall at 10, {title}"
    return [compare(times, question, *pair) for pair in pairs]


def against_scikit_learn(title: str, world: World, repeats: int) -> Row:
    library = peer("scikit-learn", lambda: __import__("sklearn.metrics").metrics)
    scores, relevant = world.scores, world.relevant

    def mine() -> float:
        return float(metrics.ndcg_at_k(ranking.top_k(scores, K), relevant, K).mean())

    sides = {"ours": stopwatch(mine)}
    if library:
        there = library.ndcg_score(relevant.numpy(), scores.numpy(), k=K)
        agree("scikit-learn", {"ndcg@10": there}, {"ndcg@10": mine()}, 1e-6)
        sides["scikit-learn"] = stopwatch(lambda: library.ndcg_score(relevant.numpy(), scores.numpy(), k=K))
    return compare(turns(sides, repeats), f"scores to NDCG at 10 alone, {title}", "ours", "scikit-learn")


def against_torchmetrics(world: World, repeats: int, n_users: int = 100) -> Row:
    library = peer("torchmetrics", lambda: __import__("torchmetrics.functional.retrieval").functional.retrieval)
    scores, relevant = world.scores[:n_users], world.relevant[:n_users]
    sides = {"ours": stopwatch(lambda: ours(scores, relevant))}
    if library:
        functions = (library.retrieval_normalized_dcg, library.retrieval_recall)
        precision = library.retrieval_average_precision  # divided by the hits: another number, the same work

        def theirs() -> Values:
            found = [
                torch.stack([function(*user, top_k=K) for user in zip(scores, relevant, strict=True)]).mean()
                for function in (*functions, precision)
            ]
            return dict(zip(("ndcg@10", "recall@10"), map(float, found), strict=False))

        agree("torchmetrics", theirs(), ours(scores, relevant), 1e-5)
        sides["torchmetrics"] = stopwatch(theirs)
    question = f"scores to NDCG, MAP, recall at 10, {n_users} x {scores.shape[1]:,}"
    return compare(turns(sides, repeats), question, "ours", "torchmetrics")


def main() -> None:
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--only", choices=["small", "large"], help="one size alone")
    options = arguments.parse_args()
    warnings.filterwarnings("ignore", message="unsafe cast from uint64 to int64")  # ranx hashes its ids
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    rows = []
    if options.only != "small":
        rows += against("20,000 x 5,000", World(20_000, 5_000), options.repeats)
    if options.only != "large":
        title, world = "943 x 1,682", World(943, 1_682)
        rows += against(title, world, options.repeats)
        rows.append(against_scikit_learn(title, world, options.repeats))
        rows.append(against_torchmetrics(world, min(3, options.repeats)))
    report(rows)


if __name__ == "__main__":
    main()
