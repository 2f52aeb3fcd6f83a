# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 1. First steps
#
# Chapters 0 to 3: tables with holes, rules, descriptions, and how to tell good from bad. The numbers are yours alone:
# they come from your student number. Give each answer to three decimals or more, or hand over the number as it was
# computed. Hand in this notebook. It is run from top to bottom, and each question is judged by itself.

# %% tags=["bootstrap"]

# %%
import math
from itertools import combinations
from types import SimpleNamespace

import numpy as np

import course_utils

course_utils.setup()
STUDENT = None  # your student number, digits alone


# %% tags=["numbers"]
def numbers(student):
    """All that is asked below, drawn for one student number. Leave this cell as it is."""
    own = SimpleNamespace()

    rng = np.random.default_rng([1, 1, int(student)])
    while True:
        own.table = rng.integers(1, 6, (5, 6)) * (rng.random((5, 6)) < 0.6)  # 0: no rating
        own.table[0, 0] = 0
        if ((own.table > 0).sum(axis=0) > 0).all() and ((own.table > 0).sum(axis=1) > 1).all():
            break

    rng = np.random.default_rng([1, 2, int(student)])
    own.baskets = 1000
    own.with_x, own.with_y = (int(n) for n in rng.integers([100, 300], [300, 800]))
    own.with_both = int(rng.integers(own.with_x // 4, own.with_x - 10))

    rng = np.random.default_rng([1, 3, int(student)])
    goods = np.array(["bread", "milk", "butter", "beer", "tea"])
    own.receipts = [set(goods[rng.random(5) < [0.7, 0.6, 0.55, 0.45, 0.35]].tolist()) for _ in range(14)]

    rng = np.random.default_rng([1, 4, int(student)])
    while True:
        own.words = rng.integers(0, 2, (6, 4))  # a row a film, a column a word
        every = (own.words.sum(axis=0) % 6 > 0).all() and (own.words.sum(axis=1) > 0).all()
        if every and np.linalg.matrix_rank(own.words[:3]) == 3:
            break
    own.stars = rng.permutation([5, 4, 2, 1])[:3]  # of the first three films

    rng = np.random.default_rng([1, 5, int(student)])
    own.hits = [1, *rng.permutation([1, 1, 0, 0, 0, 0]).tolist()][:: int(rng.choice([-1, 1]))]
    own.relevant = int(rng.integers(4, 12))

    rng = np.random.default_rng([1, 6, int(student)])
    own.split_seed = int(rng.integers(10, 10_000))

    rng = np.random.default_rng([1, 7, int(student)])
    own.differences = (rng.normal(0.08, 0.12, 9)).round(3)  # of model B less model A, a number a user

    rng = np.random.default_rng([1, 8, int(student)])
    own.true_rank, own.catalogue, own.drawn = int(rng.integers(60, 200)), 1500, 100
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. A table with holes (3 points)
#
# `mine.table` has a row a user and a column a film; 0 stands for "no rating". What is its `density`, as a share? What
# does user 0 give film 0 by both means (section 0.4), `guess`? And what would the *user's mean alone* say,
# `user_mean`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
known = mine.table > 0
# END SOLUTION
density = known.mean()  # SOLUTION
user_mean = mine.table[0].sum() / known[0].sum()  # SOLUTION
guess = user_mean + mine.table[:, 0].sum() / known[:, 0].sum() - mine.table[known].mean()  # SOLUTION


# %% tags=["hidden"]
def test_density(STUDENT, density):
    same(density, np.count_nonzero(numbers(STUDENT).table) / 30)


def test_user_mean(STUDENT, user_mean):
    same(user_mean, np.nanmean(with_holes(STUDENT)[0]))


def test_guess(STUDENT, guess):
    table = with_holes(STUDENT)
    same(guess, np.nanmean(table[0]) + np.nanmean(table[:, 0]) - np.nanmean(table))


def with_holes(student):
    table = numbers(student).table.astype(float)
    return np.where(table > 0, table, np.nan)


# %% [markdown]
# ## 2. A rule (3 points)
#
# Of `mine.baskets` baskets, `mine.with_x` hold X, `mine.with_y` hold Y, and `mine.with_both` hold both. Give
# `confidence`, `lift` and `leverage` of the rule X → Y.

# %% tags=["solution"]
confidence = mine.with_both / mine.with_x  # SOLUTION
lift = confidence / (mine.with_y / mine.baskets)  # SOLUTION
leverage = mine.with_both / mine.baskets - mine.with_x * mine.with_y / mine.baskets**2  # SOLUTION


# %% tags=["hidden"]
def of_the_rule(student):
    from course_utils.models.association_rules import rule_measures

    own = numbers(student)
    return rule_measures(own.with_both / own.baskets, own.with_x / own.baskets, own.with_y / own.baskets).iloc[0]


def test_confidence(STUDENT, confidence):
    same(confidence, of_the_rule(STUDENT).confidence)


def test_lift(STUDENT, lift):
    same(lift, of_the_rule(STUDENT).lift)


def test_leverage(STUDENT, leverage):
    same(leverage, of_the_rule(STUDENT).leverage)


# %% [markdown]
# ## 3. Apriori (3 points)
#
# `mine.receipts` are fourteen baskets. A set is frequent when at least five of them hold it. How many pairs are
# frequent, `frequent_pairs`? How many triples are left to be counted after pruning, `triples_to_count`? And how many
# of these turn out to be frequent, `frequent_triples`?


# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
def count(items):
    return sum(set(items) <= basket for basket in mine.receipts)


products = sorted(set().union(*mine.receipts))
pairs = {frozenset(pair) for pair in combinations(products, 2) if count(pair) >= 5}
left = [t for t in combinations(products, 3) if all(frozenset(p) in pairs for p in combinations(t, 2))]
# END SOLUTION
frequent_pairs = len(pairs)  # SOLUTION
triples_to_count = len(left)  # SOLUTION
frequent_triples = sum(count(triple) >= 5 for triple in left)  # SOLUTION


# %% tags=["hidden"]
def frequent_sets(student):
    """Sizes of all frequent sets and the triples whose pairs all are, from a table of all subsets."""
    receipts = numbers(student).receipts
    goods = sorted(set().union(*receipts))
    held = np.array([[item in basket for item in goods] for basket in receipts])
    often = {}
    for chosen in range(1, 2 ** len(goods)):
        places = [place for place in range(len(goods)) if chosen >> place & 1]
        often[tuple(places)] = held[:, places].all(axis=1).sum() >= 5
    sizes = [sum(good for places, good in often.items() if len(places) == size) for size in (2, 3)]
    triples = [places for places in often if len(places) == 3]
    left = sum(all(often[tuple(q for q in places if q != p)] for p in places) for places in triples)
    return sizes[0], left, sizes[1]


def test_frequent_pairs(STUDENT, frequent_pairs):
    same(frequent_pairs, frequent_sets(STUDENT)[0])


def test_triples_to_count(STUDENT, triples_to_count):
    same(triples_to_count, frequent_sets(STUDENT)[1])


def test_frequent_triples(STUDENT, frequent_triples):
    same(frequent_triples, frequent_sets(STUDENT)[2])


# %% [markdown]
# ## 4. A profile (3 points)
#
# `mine.words` says which of four words describe which of six films. A user gave the first three films `mine.stars`.
# Give the `idf` of the four words (natural logarithm, nothing added), her `profile` from likes alone (section 2.3),
# and the `cosine` of the last film with it.

# %% tags=["solution"]
idf = np.log(6 / mine.words.sum(axis=0))  # SOLUTION
# BEGIN SOLUTION NO PROMPT
rows = mine.words * idf
# END SOLUTION
profile = (mine.stars - mine.stars.mean()) @ rows[:3]  # SOLUTION
cosine = rows[5] @ profile / np.linalg.norm(rows[5]) / np.linalg.norm(profile)  # SOLUTION


# %% tags=["hidden"]
def rows_of(student):
    from sklearn.feature_extraction.text import TfidfTransformer

    own = numbers(student)
    fitted = TfidfTransformer(smooth_idf=False, norm=None).fit(own.words)
    return own, fitted.idf_ - 1


def test_idf(STUDENT, idf):
    same(idf, rows_of(STUDENT)[1])


def test_profile(STUDENT, profile):
    own, weights = rows_of(STUDENT)
    same(profile, sum((star - np.mean(own.stars)) * row * weights for star, row in zip(own.stars, own.words)))


def test_cosine(STUDENT, cosine):
    import pandas as pd
    import torch

    from course_utils.data import Interactions
    from course_utils.models.content import ContentBased

    own, weights = rows_of(STUDENT)
    rated = pd.DataFrame({"user_id": 0, "item_id": [0, 1, 2], "rating": own.stars.astype(float)})
    model = ContentBased(own.words * weights, seen_weight=0)
    model.fit(Interactions.from_frame(rated, user_ids=[0], item_ids=range(6)))
    same(cosine, model.score(torch.tensor([0]))[0, 5])


# %% [markdown]
# ## 5. A list (3 points)
#
# A list of seven has the hits `mine.hits`, best place first. The user has `mine.relevant` relevant items in all. Give
# `average_precision` at 7 in this book's definition, `ndcg` at 7, and `recall` at 7.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
hits, places = np.array(mine.hits), np.arange(1, 8)
most = min(7, mine.relevant)
# END SOLUTION
average_precision = (hits * hits.cumsum() / places).sum() / most  # SOLUTION
ndcg = (hits / np.log2(places + 1)).sum() / (1 / np.log2(places[:most] + 1)).sum()  # SOLUTION
recall = hits.sum() / mine.relevant  # SOLUTION


# %% tags=["hidden"]
def measured(student, name):
    import torch

    from course_utils.evaluation import metrics

    own = numbers(student)
    relevant = torch.zeros(1, 40, dtype=torch.bool)
    relevant[0, : own.relevant] = True
    hits, misses = iter(range(40)), iter(range(39, 0, -1))
    shown = [next(hits) if hit else next(misses) for hit in own.hits]
    return getattr(metrics, f"{name}_at_k")(torch.tensor([shown]), relevant, 7).item()


def test_average_precision(STUDENT, average_precision):
    same(average_precision, measured(STUDENT, "average_precision"))


def test_ndcg(STUDENT, ndcg):
    same(ndcg, measured(STUDENT, "ndcg"))


def test_recall(STUDENT, recall):
    same(recall, measured(STUDENT, "recall"))


# %% [markdown]
# ## 6. Popularity on a split of your own (4 points)
#
# Split the ratings of MovieLens-100K with `splits.random_split(ratings, seed=mine.split_seed)`, fit popularity, and
# make lists of ten of films that the user has not rated in training. Give their mean NDCG@10, `popularity_ndcg`, and
# the share of the catalogue that they show, `popularity_coverage`. You may write it out or call the package.

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
from course_utils.evaluation import measure_lists
from course_utils.models.baselines import Popularity

train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=mine.split_seed))
found = measure_lists(Popularity().fit(train), train, test)
# END SOLUTION
popularity_ndcg = found["ndcg@10"]  # SOLUTION
popularity_coverage = found["coverage@10"]  # SOLUTION


# %% tags=["hidden"]
def written_out(student):
    """Lists and quality of popularity from counts alone, without the package's model or protocol."""
    from itertools import islice

    from course_utils.data import load_movielens, splits

    movielens = load_movielens()
    past, future = splits.random_split(movielens.ratings, seed=numbers(student).split_seed)
    films = movielens.items.item_id.to_numpy()
    counts = past.item_id.value_counts().reindex(films, fill_value=0).to_numpy()
    order = films[np.argsort(-counts, kind="stable")].tolist()
    seen, wanted = (part.groupby("user_id").item_id.agg(set).to_dict() for part in (past, future))
    gain, shown, quality = 1 / np.log2(np.arange(2, 12)), set(), []
    for user in movielens.users.user_id:
        had = seen.get(user, ())
        best = list(islice((film for film in order if film not in had), 10))
        shown.update(best)
        if user in wanted:
            hits = np.array([film in wanted[user] for film in best])
            quality.append((hits * gain).sum() / gain[: min(10, len(wanted[user]))].sum())
    return np.mean(quality), len(shown) / len(films)


def test_popularity_ndcg(STUDENT, popularity_ndcg):
    same(popularity_ndcg, written_out(STUDENT)[0], within=5e-4)


def test_popularity_coverage(STUDENT, popularity_coverage):
    same(popularity_coverage, written_out(STUDENT)[1], within=5e-4)


# %% [markdown]
# ## 7. More than chance? (2 points)
#
# Nine users, and what model B has more than model A on each: `mine.differences`. Try all $2^9$ ways to swap the names
# of the models. In what share of them does the sum come as far from 0 as the real one, in either direction? That is
# `p_value`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
signs = 1 - 2 * (np.arange(2**9)[:, None] >> np.arange(9) & 1)
sums = signs @ mine.differences
# END SOLUTION
p_value = (np.abs(sums) >= abs(mine.differences.sum()) - 1e-12).mean()  # SOLUTION


# %% tags=["hidden"]
def test_p_value(STUDENT, p_value):
    from itertools import product

    more = [round(1000 * each) for each in numbers(STUDENT).differences]  # whole numbers: no rounding
    real = abs(sum(more))
    ways = [abs(sum(s * m for s, m in zip(way, more))) >= real for way in product((1, -1), repeat=9)]
    same(p_value, sum(ways) / len(ways))


# %% [markdown]
# ## 8. A hit among the sampled (3 points)
#
# Write `sampled_hit_rate(rank, catalogue, drawn, k=10)`: the chance that an item of this true rank, in a catalogue of
# so many, is among the first `k` when it is ranked beside `drawn` other items of the catalogue, drawn without
# replacement (section 3.7). Then give `chance` for `mine.true_rank`, `mine.catalogue` and `mine.drawn`.


# %% tags=["solution"]
def sampled_hit_rate(rank, catalogue, drawn, k=10):
    # BEGIN SOLUTION
    better, ways = rank - 1, math.comb(catalogue - 1, drawn)
    return sum(math.comb(better, j) * math.comb(catalogue - 1 - better, drawn - j) for j in range(k)) / ways
    # END SOLUTION


chance = sampled_hit_rate(mine.true_rank, mine.catalogue, mine.drawn)  # SOLUTION


# %% tags=["hidden"]
def test_chance(STUDENT, chance):
    from scipy.stats import hypergeom

    own = numbers(STUDENT)
    same(chance, hypergeom.cdf(9, own.catalogue - 1, own.true_rank - 1, own.drawn))


def test_other_ranks(sampled_hit_rate):
    from scipy.stats import hypergeom

    for rank, n, drawn, k in ((1, 50, 10, 1), (12, 100, 99, 10), (30, 400, 50, 5)):
        same(sampled_hit_rate(rank, n, drawn, k), hypergeom.cdf(k - 1, n - 1, rank - 1, drawn))


def test_all_items(sampled_hit_rate):
    same([sampled_hit_rate(rank, 30, 29, 10) for rank in (10, 11)], [1, 0])
