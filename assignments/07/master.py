# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 7. Autoencoders and the league table
#
# Chapters 17 and 20: what a network copies, what a hole is, and which difference is noise. The numbers are yours
# alone: they come from your student number. Give each answer to three decimals or more, or hand over the number as it
# was computed. Hand in this notebook. It is run from top to bottom, and each question is judged by itself.

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

    rng = np.random.default_rng([7, 1, int(student)])
    while True:
        own.seen = (rng.random((7, 4)) < 0.5).astype(float)  # a row a user, a column a film
        if (own.seen.sum(axis=0) > 1).all():
            break
    own.penalty = float(rng.choice([0.5, 1.0, 2.0, 5.0]))

    rng = np.random.default_rng([7, 2, int(student)])
    own.logits, own.clicks = (
        rng.normal(size=(3, 5)).round(2),
        np.array([rng.permutation([1, 1, 0, 0, 0]) for _ in range(3)]),
    )
    own.mean, own.log_variance = rng.normal(size=4).round(2), rng.normal(-0.5, 0.6, 4).round(2)

    rng = np.random.default_rng([7, 3, int(student)])
    own.ratings = rng.integers(1, 6, (4, 6)) * (rng.random((4, 6)) < 0.5)  # 0: no rating
    own.ratings[0, :2] = [3, 5]
    own.decoded = rng.uniform(1, 5, (4, 6)).round(1)

    rng = np.random.default_rng([7, 4, int(student)])
    own.positive, own.others = (
        0.5,
        rng.permutation([0.5] * int(rng.integers(2, 6)) + rng.uniform(0, 1, 12).round(2).tolist()),
    )

    rng = np.random.default_rng([7, 5, int(student)])
    own.p_values = rng.permutation([*rng.uniform(0.0005, 0.02, 4), *rng.uniform(0.02, 0.7, 3)]).round(4)
    own.models = int(rng.integers(8, 30))

    own.split_seed = int(np.random.default_rng([7, 6, int(student)]).integers(10, 10_000))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. With and without the ban (4 points)
#
# `mine.seen` says who saw which film. Give the weights that EASE finds with the penalty `mine.penalty`, `with_ban`
# (column $j$ predicts film $j$), and those of the same ridge regression without its ban on the diagonal, `free`. What
# does each of the two score for user 0, `scores_with_ban` and `scores_free`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
gram = mine.seen.T @ mine.seen
inverse = np.linalg.inv(gram + mine.penalty * np.eye(4))
# END SOLUTION
with_ban = np.eye(4) - inverse / np.diag(inverse)  # SOLUTION
free = inverse @ gram  # SOLUTION
scores_with_ban = mine.seen[0] @ with_ban  # SOLUTION
scores_free = mine.seen[0] @ free  # SOLUTION


# %% tags=["hidden"]
def column_by_column(student, ban):
    """A least-squares problem a film, with the penalty as rows of its own."""
    own, weights = numbers(student), np.zeros((4, 4))
    for film in range(4):
        used = [other for other in range(4) if other != film or not ban]
        rows = np.vstack([own.seen, np.sqrt(own.penalty) * np.eye(4)])[:, used]
        weights[used, film] = np.linalg.lstsq(rows, np.append(own.seen[:, film], np.zeros(4)), rcond=None)[0]
    return own.seen[0], weights


def test_with_ban(STUDENT, with_ban):
    same(with_ban, column_by_column(STUDENT, ban=True)[1])


def test_free(STUDENT, free):
    same(free, column_by_column(STUDENT, ban=False)[1])


def test_scores_with_ban(STUDENT, scores_with_ban):
    row, weights = column_by_column(STUDENT, ban=True)
    same(scores_with_ban, weights.T @ row)


def test_scores_free(STUDENT, scores_free):
    row, weights = column_by_column(STUDENT, ban=False)
    same(scores_free, weights.T @ row)


# %% [markdown]
# ## 2. The two terms of a variational autoencoder (2 points)
#
# Three users have `mine.clicks`, and the decoder gives them `mine.logits`. Give the `multinomial` loss, the mean over
# the users. One of them has the cloud `mine.mean` and `mine.log_variance`. How many nats is it, over all four
# entries, from the standard normal, `nats`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
shares = np.exp(mine.logits) / np.exp(mine.logits).sum(axis=1, keepdims=True)
variance = np.exp(mine.log_variance)
# END SOLUTION
multinomial = -(mine.clicks * np.log(shares)).sum(axis=1).mean()  # SOLUTION
nats = (mine.mean**2 + variance - 1 - mine.log_variance).sum() / 2  # SOLUTION


# %% tags=["hidden"]
def test_multinomial(STUDENT, multinomial):
    import torch

    from course_utils.models.autoencoders import multinomial_loss

    own = numbers(STUDENT)
    same(multinomial, multinomial_loss(torch.tensor(own.logits), torch.tensor(own.clicks)))


def test_nats(STUDENT, nats):
    import torch
    from torch.distributions import Normal, kl_divergence

    own = numbers(STUDENT)
    cloud = Normal(torch.tensor(own.mean), torch.tensor(own.log_variance).div(2).exp())
    same(nats, kl_divergence(cloud, Normal(0.0, 1.0)).sum())


# %% [markdown]
# ## 3. A hole is no rating (2 points)
#
# `mine.ratings` has 0 for "no rating", `mine.decoded` is what an autoencoder gives back. Give the mean squared error
# over the ratings, `masked`, and over all cells, as if a hole were a rating of 0, `unmasked`.

# %% tags=["solution"]
masked = ((mine.decoded - mine.ratings)[mine.ratings > 0] ** 2).mean()  # SOLUTION
unmasked = ((mine.decoded - mine.ratings) ** 2).mean()  # SOLUTION


# %% tags=["hidden"]
def errors(student, holes):
    own = numbers(student)
    pairs = zip(own.decoded.ravel().tolist(), own.ratings.ravel().tolist())
    found = [(d - r) ** 2 for d, r in pairs if r or holes]
    return sum(found) / len(found)


def test_masked(STUDENT, masked):
    same(masked, errors(STUDENT, holes=False))


def test_unmasked(STUDENT, unmasked):
    same(unmasked, errors(STUDENT, holes=True))


# %% [markdown]
# ## 4. Where does it stand? (2 points)
#
# The item that was held back scores `mine.positive`, others score `mine.others`. Give its `rank`, an equal score
# counted half, and the `flattering` rank, which counts only those that are better.

# %% tags=["solution"]
flattering = 1 + (mine.others > mine.positive).sum()  # SOLUTION
rank = flattering + (mine.others == mine.positive).sum() / 2  # SOLUTION


# %% tags=["hidden"]
def test_rank(STUDENT, rank):
    from scipy.stats import rankdata

    own = numbers(STUDENT)
    same(rank, rankdata(-np.append(own.positive, own.others))[0])


def test_flattering(STUDENT, flattering):
    from scipy.stats import rankdata

    own = numbers(STUDENT)
    same(flattering, rankdata(-np.append(own.positive, own.others), method="min")[0])


# %% [markdown]
# ## 5. Many tests (3 points)
#
# Give Holm's correction of `mine.p_values`, in the same order, `corrected`. How many are below 5 % after it, `real`?
# And `mine.models` recommenders are all random. In how many of their pairs is $p$ below 5 %, on average, without a
# correction, `by_chance`?

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
order = np.argsort(mine.p_values)
steps = np.maximum.accumulate(mine.p_values[order] * np.arange(7, 0, -1)).clip(max=1)
# END SOLUTION
corrected = steps[np.argsort(order)]  # SOLUTION
real = (corrected < 0.05).sum()  # SOLUTION
by_chance = 0.05 * mine.models * (mine.models - 1) / 2  # SOLUTION


# %% tags=["hidden"]
def holm(student):
    from course_utils.evaluation import significance

    return significance.holm(numbers(student).p_values)


def test_corrected(STUDENT, corrected):
    same(corrected, holm(STUDENT), within=1e-4)


def test_real(STUDENT, real):
    same(real, np.count_nonzero(holm(STUDENT) < 0.05))


def test_by_chance(STUDENT, by_chance):
    models = range(numbers(STUDENT).models)
    same(by_chance, sum(a < b for a in models for b in models) / 20)


# %% [markdown]
# ## 6. Two rows of the league table (4 points)
#
# Split MovieLens-100K with `splits.random_split(ratings, seed=mine.split_seed)`. Fit `EASE(500.0)` and
# `ItemKNN(k=50)`, make lists of ten of unseen films, and take NDCG@10 of each user with test ratings. What does EASE
# have more in the mean, its `lead`? For which share of these users is it strictly better, `wins`? And how many
# standard errors is the lead, the users being the sample, `errors_away`?

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
from course_utils.evaluation import measure_lists_per_user
from course_utils.models.neighbors import EASE, ItemKNN

train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=mine.split_seed))
ease, neighbours = (measure_lists_per_user(m.fit(train), train, test)["ndcg@10"] for m in (EASE(500.0), ItemKNN(k=50)))
more = (ease - neighbours).dropna()
# END SOLUTION
lead = more.mean()  # SOLUTION
wins = (more > 1e-9).mean()  # SOLUTION
errors_away = lead / (more.std() / np.sqrt(len(more)))  # SOLUTION


# %% tags=["hidden"]
def differences(student):
    """From scores, masks and lists put together here."""
    import torch

    from course_utils import ranking
    from course_utils.data import load_movielens, splits
    from course_utils.evaluation import metrics
    from course_utils.models.neighbors import EASE, ItemKNN

    movielens, each = load_movielens(), []
    train, test = map(movielens.interactions, splits.random_split(movielens.ratings, seed=numbers(student).split_seed))
    for model in (EASE(500.0), ItemKNN(k=50)):
        scores = model.fit(train).score(torch.arange(train.n_users)).masked_fill(train.mask(), -torch.inf)
        each.append(metrics.ndcg_at_k(ranking.top_k(scores, 10), test.mask(), 10))
    found = (each[0] - each[1]).double().numpy()
    return found[~np.isnan(found)]


def test_lead(STUDENT, lead):
    same(lead, differences(STUDENT).mean(), within=2e-4)


def test_wins(STUDENT, wins):
    same(wins, np.mean(differences(STUDENT) > 1e-6), within=2e-3)


def test_errors_away(STUDENT, errors_away):
    from scipy.stats import ttest_1samp

    same(errors_away, ttest_1samp(differences(STUDENT), 0).statistic, within=1e-2)
