# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 5. Beyond accuracy
#
# Chapters 12 to 14: what lists show, who is served how well, and what follows in a loop. The numbers are yours alone:
# they come from your student number. Give each answer to three decimals or more, or hand over the number as it was
# computed. Hand in this notebook. It is run from top to bottom, and each question is judged by itself.

# %% tags=["bootstrap"]

# %%
from types import SimpleNamespace

import numpy as np

import course_utils

course_utils.setup()
STUDENT = None  # your student number, digits alone


# %% tags=["numbers"]
def numbers(student):
    """All that is asked below, drawn for one student number. Leave this cell as it is."""
    own = SimpleNamespace()

    rng = np.random.default_rng([5, 1, int(student)])
    own.lists = np.array([rng.choice(8, 3, replace=False, p=np.arange(8, 0, -1) / 36) for _ in range(5)])  # of 8 items
    own.features = rng.integers(0, 3, (8, 3)) + np.eye(3)[np.arange(8) % 3]  # a row an item
    own.known_to = rng.integers(1, 90, 8) / 100  # share of people who know each item

    rng = np.random.default_rng([5, 2, int(student)])
    while True:
        own.scores, side = rng.uniform(0.3, 1, 5).round(2), rng.normal(size=(5, 3))
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        own.similarity, own.trade_off = side @ side.T, float(rng.choice([0.4, 0.5, 0.6]))
        if len(set(own.scores)) == 5 and np.abs(own.similarity - np.eye(5)).max() < 0.95:
            break

    rng = np.random.default_rng([5, 3, int(student)])
    own.history, own.shown = rng.permutation([0.6, 0.3, 0.1]), rng.permutation([0.8, 0.2, 0.0])

    rng = np.random.default_rng([5, 4, int(student)])
    own.rated = rng.integers(1, 6, (2, 4)).astype(float)  # mean ratings: a row a group, a column a film
    own.predicted = (own.rated + rng.normal(0, 0.9, (2, 4))).round(1)

    rng = np.random.default_rng([5, 5, int(student)])
    own.many, own.few = int(rng.integers(4, 12)), int(rng.integers(1, 4))  # people in the two groups
    own.of_many, own.of_few = float(rng.choice([3.0, 3.5, 4.0])), float(rng.choice([1.0, 1.5, 2.0, 5.0]))

    rng = np.random.default_rng([5, 6, int(student)])
    own.first, own.second, own.draws = (int(n) for n in rng.integers([1, 1, 6], [4, 4, 14]))

    rng = np.random.default_rng([5, 7, int(student)])
    own.taste, own.appetite = round(rng.uniform(0.05, 0.5), 2), float(rng.choice([0.5, 1.0, 1.5, 2.0]))

    own.split_seed = int(np.random.default_rng([5, 8, int(student)]).integers(10, 10_000))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. What the lists show (4 points)
#
# `mine.lists` are the lists of five users over a catalogue of eight items, best item first. Give their `coverage` and
# the `gini` index of how often items are shown. `mine.features` describes the items, and `mine.known_to` is the share
# of people who know each. Give for each list its `diversity`, one less the mean cosine of its pairs, and its
# `novelty` in bits.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
often = np.sort(np.bincount(mine.lists.ravel(), minlength=8))
unit = mine.features / np.linalg.norm(mine.features, axis=1, keepdims=True)
cosines = unit @ unit.T
# END SOLUTION
coverage = (often > 0).mean()  # SOLUTION
gini = (2 * np.arange(1, 9) - 9) @ often / (8 * often.sum())  # SOLUTION
diversity = [1 - np.mean([cosines[a, b], cosines[a, c], cosines[b, c]]) for a, b, c in mine.lists]  # SOLUTION
novelty = -np.log2(mine.known_to[mine.lists]).mean(axis=1)  # SOLUTION


# %% tags=["hidden"]
def beyond(student, name, *tables):
    import torch

    from course_utils.evaluation import beyond_accuracy

    own = numbers(student)
    given = [torch.as_tensor(getattr(own, each)) for each in tables] or [8]
    return getattr(beyond_accuracy, name)(torch.tensor(own.lists), *given)


def test_coverage(STUDENT, coverage):
    same(coverage, beyond(STUDENT, "catalog_coverage"))


def test_gini(STUDENT, gini):
    same(gini, beyond(STUDENT, "gini"))


def test_diversity(STUDENT, diversity):
    same(diversity, beyond(STUDENT, "intra_list_diversity", "features"))


def test_novelty(STUDENT, novelty):
    same(novelty, beyond(STUDENT, "novelty", "known_to"))


# %% [markdown]
# ## 2. Two ways to re-rank (3 points)
#
# Five candidates have `mine.scores` and `mine.similarity`. Which three, in order, does MMR take with the trade-off
# `mine.trade_off`, `by_mmr`? And which *set* of three has the largest $\tau \sum s_i + (1 - \tau) \ln \det w$ of all
# sets, by trying each, `best_set` (in ascending order)? Items are counted from 0.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
from itertools import combinations

tau, taken = mine.trade_off, [int(mine.scores.argmax())]
while len(taken) < 3:
    value = tau * mine.scores - (1 - tau) * mine.similarity[:, taken].max(axis=1)
    value[taken] = -np.inf
    taken.append(int(value.argmax()))


def worth(chosen):
    volume = np.linalg.det(mine.similarity[np.ix_(chosen, chosen)])
    return tau * mine.scores[list(chosen)].sum() + (1 - tau) * np.log(volume)


# END SOLUTION
by_mmr = taken  # SOLUTION
best_set = max(combinations(range(5), 3), key=worth)  # SOLUTION


# %% tags=["hidden"]
def test_by_mmr(STUDENT, by_mmr):
    import torch

    from course_utils import ranking

    own = numbers(STUDENT)
    same(by_mmr, ranking.mmr(torch.tensor(own.scores)[None], torch.tensor(own.similarity), 3, own.trade_off)[0])


def test_best_set(STUDENT, best_set):
    own, found = numbers(STUDENT), {}
    for a in range(5):
        for b in range(a):
            for c in range(b):
                w = own.similarity
                volume = 1 + 2 * w[a, b] * w[a, c] * w[b, c] - w[a, b] ** 2 - w[a, c] ** 2 - w[b, c] ** 2
                gain = own.scores[a] + own.scores[b] + own.scores[c]
                found[c, b, a] = own.trade_off * gain + (1 - own.trade_off) * np.log(volume)
    same(best_set, max(found, key=found.get))


# %% [markdown]
# ## 3. Calibration (1 point)
#
# A person's history has the shares `mine.history` of three genres, her list has `mine.shown`. Give the `divergence`
# of section 12.6, in nats, with the smoothing 0.01.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
smooth = 0.99 * mine.shown + 0.01 * mine.history
# END SOLUTION
divergence = (mine.history * np.log(mine.history / smooth)).sum()  # SOLUTION


# %% tags=["hidden"]
def test_divergence(STUDENT, divergence):
    import torch

    from course_utils.evaluation.beyond_accuracy import calibration_kl

    own = numbers(STUDENT)
    kinds, target = torch.tensor(own.shown)[None], torch.tensor(own.history)[None]
    same(divergence, calibration_kl(torch.tensor([[0]]), kinds, target)[0])


# %% [markdown]
# ## 4. Five measures (5 points)
#
# Four films, two groups: the mean ratings of each group are `mine.rated`, the mean predictions `mine.predicted`. Give
# the five measures of section 13.2: `value`, `absolute`, `under`, `over`, and the gap of the mean predictions,
# `non_parity` (all films count the same).

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
e0, e1 = mine.predicted - mine.rated
# END SOLUTION
value = np.abs(e0 - e1).mean()  # SOLUTION
absolute = np.abs(np.abs(e0) - np.abs(e1)).mean()  # SOLUTION
under = np.abs(np.maximum(0, -e0) - np.maximum(0, -e1)).mean()  # SOLUTION
over = np.abs(np.maximum(0, e0) - np.maximum(0, e1)).mean()  # SOLUTION
non_parity = abs(mine.predicted[0].mean() - mine.predicted[1].mean())  # SOLUTION


# %% tags=["hidden"]
def unfair(student, kind):
    import torch

    from course_utils.learning.regularizers import estimation_gap

    own = numbers(student)
    films, group = torch.arange(4).repeat(2), torch.tensor([0, 1]).repeat_interleave(4)
    return estimation_gap(torch.tensor(own.predicted.ravel()), torch.tensor(own.rated.ravel()), films, group, kind)


def test_value(STUDENT, value):
    same(value, unfair(STUDENT, "value"))


def test_absolute(STUDENT, absolute):
    same(absolute, unfair(STUDENT, "absolute"))


def test_under(STUDENT, under):
    same(under, unfair(STUDENT, "under"))


def test_over(STUDENT, over):
    same(over, unfair(STUDENT, "over"))


def test_non_parity(STUDENT, non_parity):
    same(non_parity, abs(np.diff(numbers(STUDENT).predicted.sum(axis=1) / 4)[0]))


# %% [markdown]
# ## 5. Where two groups meet (2 points)
#
# `mine.many` people all rate `mine.of_many`, `mine.few` people all rate `mine.of_few`, and the two groups shall get
# the same prediction. Where do they `meet` by least squares? And how many times as far as the larger group's is the
# smaller group's prediction moved, `times`?

# %% tags=["solution"]
meet = (mine.many * mine.of_many + mine.few * mine.of_few) / (mine.many + mine.few)  # SOLUTION
times = abs(mine.of_few - meet) / abs(mine.of_many - meet)  # SOLUTION


# %% tags=["hidden"]
def test_meet(STUDENT, meet):
    own = numbers(STUDENT)
    same(meet, np.mean([own.of_many] * own.many + [own.of_few] * own.few))


def test_times(STUDENT, times):
    own = numbers(STUDENT)
    same(times, own.many / own.few)


# %% [markdown]
# ## 6. An urn (2 points)
#
# An urn holds `mine.first` balls of item A and `mine.second` of item B. `mine.draws` times a ball is drawn and put
# back with one more of its kind. Give the chance that *all* draws are A, `sweep`, and the chance that A's share of
# the balls at the end is above one half, `leads`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
chance = {mine.first: 1.0}  # of so many balls of A
for total in range(mine.first + mine.second, mine.first + mine.second + mine.draws):
    after = {}
    for balls, p in chance.items():
        after[balls + 1] = after.get(balls + 1, 0) + p * balls / total
        after[balls] = after.get(balls, 0) + p * (1 - balls / total)
    chance = after
balls_at_the_end = mine.first + mine.second + mine.draws
# END SOLUTION
sweep = chance[mine.first + mine.draws]  # SOLUTION
leads = sum(p for balls, p in chance.items() if 2 * balls > balls_at_the_end)  # SOLUTION


# %% tags=["hidden"]
def law(student):
    from scipy.stats import betabinom

    own = numbers(student)
    return own, betabinom(own.draws, own.first, own.second)


def test_sweep(STUDENT, sweep):
    own, drawn = law(STUDENT)
    same(sweep, drawn.pmf(own.draws), within=1e-4)


def test_leads(STUDENT, leads):
    own, drawn = law(STUDENT)
    same(leads, sum(drawn.pmf(k) for k in range(own.draws + 1) if own.first + k > own.second + own.draws - k))


# %% [markdown]
# ## 7. What attracts most (2 points)
#
# A person has the taste `mine.taste`, and an item at $x$ attracts with $e^{-(x - \theta)^2 / 0.18}\,(1 + \psi |x|)$,
# where $\psi$ is `mine.appetite`. Which position in $0 \dots 1$ attracts most, `place`? And how close is it to her
# taste, the first factor alone, `closeness`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
half = (1 - mine.appetite * mine.taste) / 2 / mine.appetite
# END SOLUTION
place = min(1, -half + np.sqrt(half**2 + mine.taste / mine.appetite + 0.09))  # SOLUTION
closeness = np.exp(-((place - mine.taste) ** 2) / 0.18)  # SOLUTION


# %% tags=["hidden"]
def strongest(student):
    import torch

    from course_utils.simulation import world

    own, axis = numbers(student), torch.linspace(0, 1, 100_001, dtype=torch.float64)
    taste = torch.tensor(own.taste, dtype=torch.float64)
    found = axis[world.engagement(taste, axis, own.appetite).argmax()]
    return found, world.closeness(taste, found)


def test_place(STUDENT, place):
    same(place, strongest(STUDENT)[0])


def test_closeness(STUDENT, closeness):
    same(closeness, strongest(STUDENT)[1])


# %% [markdown]
# ## 8. Like with like (3 points)
#
# Take the training part of `splits.random_split(ratings, seed=mine.split_seed)`. By how much is the mean rating of
# women (`F`) above that of men, `raw_gap`? Now take the films that at least ten women *and* ten men rated in it. How
# many are there, `films`, and what is the mean over these films of women's mean less men's mean, `film_gap`?

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
past, _ = splits.random_split(movielens.ratings, seed=mine.split_seed)
whole = past.merge(movielens.users[["user_id", "gender"]], on="user_id")
means = whole.groupby("gender").rating.mean()
of_films = whole.pivot_table(index="item_id", columns="gender", values="rating", aggfunc=["mean", "count"])
kept = of_films[(of_films["count"] >= 10).all(axis=1)]["mean"]
# END SOLUTION
raw_gap = means["F"] - means["M"]  # SOLUTION
films = len(kept)  # SOLUTION
film_gap = (kept["F"] - kept["M"]).mean()  # SOLUTION


# %% tags=["hidden"]
def by_counts(student):
    """The same by sums and counts over codes."""
    from course_utils.data import load_movielens, splits

    movielens = load_movielens()
    past, _ = splits.random_split(movielens.ratings, seed=numbers(student).split_seed)
    part = movielens.interactions(past)
    women = (movielens.users.gender == "F").to_numpy()[part.users]
    items, stars = np.asarray(part.items), np.asarray(part.ratings, dtype=float)
    count = np.array([np.bincount(items[who], minlength=part.n_items) for who in (women, ~women)])
    total = np.array([np.bincount(items[who], stars[who], part.n_items) for who in (women, ~women)])
    often = (count >= 10).all(axis=0)
    mean = total[:, often] / count[:, often]
    return stars[women].mean() - stars[~women].mean(), often.sum(), (mean[0] - mean[1]).mean()


def test_raw_gap(STUDENT, raw_gap):
    same(raw_gap, by_counts(STUDENT)[0], within=2e-4)


def test_films(STUDENT, films):
    same(films, by_counts(STUDENT)[1], within=1e-6)


def test_film_gap(STUDENT, film_gap):
    same(film_gap, by_counts(STUDENT)[2], within=2e-4)
