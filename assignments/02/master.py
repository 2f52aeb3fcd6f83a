# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Assignment 2. Collaborative filtering
#
# Chapters 4 to 6: neighbours, factors that are solved for, factors that are trained. The numbers are yours alone:
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

    rng = np.random.default_rng([2, 1, int(student)])
    while True:
        own.ratings = rng.integers(1, 6, (3, 5)).astype(float)  # a row a user; user 0 has not rated the last film
        own.ratings[0, 4] = np.nan
        spread = (own.ratings[:, :4] - own.ratings[:, :4].mean(axis=1, keepdims=True)).round(9)
        if (np.abs(spread).sum(axis=1) > 0).all() and (spread[1:] @ spread[0] > 0.5).all():
            break
    own.delta = float(rng.choice([0.2, 0.4, 0.6, 0.8]))

    rng = np.random.default_rng([2, 2, int(student)])
    own.few, own.many = int(rng.integers(2, 5)), int(rng.integers(40, 90))  # common raters of two pairs of films
    own.w_few, own.w_many = round(rng.uniform(0.85, 0.99), 2), round(rng.uniform(0.3, 0.5), 2)

    rng = np.random.default_rng([2, 3, int(student)])
    while True:
        own.clicks = (rng.random((8, 4)) < 0.55).astype(float)
        if (own.clicks.sum(axis=0) > 1).all() and (own.clicks.sum(axis=1) > 0).all():
            break
    own.ease_penalty = float(rng.choice([0.5, 1.0, 2.0]))

    rng = np.random.default_rng([2, 4, int(student)])
    own.item_factors = rng.normal(size=(5, 2)).round(2)
    own.stars = rng.integers(1, 6, 3).astype(float)  # for the first three items; the other two are holes
    own.als_penalty = float(rng.choice([0.3, 0.5, 0.8]))

    rng = np.random.default_rng([2, 5, int(student)])
    own.acts = rng.permutation([3.0, 1, 0, 0, 0])  # how often the user took each of the five items
    own.alpha = float(rng.choice([1.0, 2.0, 4.0]))

    rng = np.random.default_rng([2, 6, int(student)])
    own.p, own.q = rng.uniform(0.2, 1.2, (2, 3)).round(2)
    own.rating, own.step = float(rng.integers(3, 6)), float(rng.choice([0.02, 0.05, 0.1]))

    rng = np.random.default_rng([2, 7, int(student)])
    own.errors = [rng.normal(size=n).round(3) for n in rng.permutation([8, 8, 3, 1])]  # a batch each

    own.split_seed = int(np.random.default_rng([2, 8, int(student)]).integers(10, 10_000))
    return own


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %% [markdown]
# ## 1. Two neighbours (4 points)
#
# `mine.ratings` has three users and five films; user 0 has not rated the last one. Give the Pearson correlations of
# user 0 with users 1 and 2 over the four common films, `similarity` (two numbers). Then predict user 0's stars for
# the last film: her mean over what she rated, plus the weighted mean of the neighbours' deviations *from their means
# over all five films*, with `mine.delta` in the denominator (section 4.4): `predicted`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
common = mine.ratings[:, :4] - mine.ratings[:, :4].mean(axis=1, keepdims=True)
lengths = np.linalg.norm(common, axis=1)
# END SOLUTION
similarity = common[1:] @ common[0] / lengths[1:] / lengths[0]  # SOLUTION
# BEGIN SOLUTION NO PROMPT
deviations = mine.ratings[1:, 4] - mine.ratings[1:].mean(axis=1)
moved = similarity @ deviations / (np.abs(similarity).sum() + mine.delta)
# END SOLUTION
predicted = mine.ratings[0, :4].mean() + moved  # SOLUTION


# %% tags=["hidden"]
def correlations(student):
    from course_utils.models.neighbors import similarities

    return similarities(numbers(student).ratings, "pearson", common=True)[0, 1:].numpy()


def test_similarity(STUDENT, similarity):
    same(similarity, correlations(STUDENT))


def test_predicted(STUDENT, predicted):
    own, weights = numbers(STUDENT), correlations(STUDENT)
    above = [row[4] - np.mean(row) for row in own.ratings[1:]]
    same(predicted, np.nanmean(own.ratings[0]) + np.dot(weights, above) / (own.delta + sum(abs(weights))))


# %% [markdown]
# ## 2. How much shrinkage? (2 points)
#
# Two films share `mine.few` raters and have the similarity `mine.w_few`. Two others share `mine.many` and have
# `mine.w_many`. At which $\kappa$ does the shrinkage $n / (n + \kappa)$ make both pairs equally similar? `kappa`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
gap = mine.w_few - mine.w_many
# END SOLUTION
kappa = mine.few * mine.many * gap / (mine.many * mine.w_many - mine.few * mine.w_few)  # SOLUTION


# %% tags=["hidden"]
def test_kappa(STUDENT, kappa):
    from scipy.optimize import brentq

    own = numbers(STUDENT)
    same(kappa, brentq(lambda k: own.few / (own.few + k) * own.w_few - own.many / (own.many + k) * own.w_many, 0, 1e4))


# %% [markdown]
# ## 3. EASE (4 points)
#
# `mine.clicks` has a row a user and a column a film. Give EASE's `weights` with the penalty `mine.ease_penalty`, a
# table of four by four, and the `scores` of all films for all users that follow.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
inverse = np.linalg.inv(mine.clicks.T @ mine.clicks + mine.ease_penalty * np.eye(4))
# END SOLUTION
weights = np.where(np.eye(4) > 0, 0, -inverse / np.diag(inverse))  # SOLUTION
scores = mine.clicks @ weights  # SOLUTION


# %% tags=["hidden"]
def ridge(student):
    """Each column from the others, by least squares with the penalty as further rows."""
    own, found = numbers(student), np.zeros((4, 4))
    for j in range(4):
        rest = [i for i in range(4) if i != j]
        rows = np.vstack([own.clicks[:, rest], own.ease_penalty**0.5 * np.eye(3)])
        found[rest, j] = np.linalg.lstsq(rows, np.append(own.clicks[:, j], np.zeros(3)), rcond=None)[0]
    return own, found


def test_weights(STUDENT, weights):
    same(weights, ridge(STUDENT)[1])


def test_scores(STUDENT, scores):
    own, found = ridge(STUDENT)
    same(scores, own.clicks @ found)


# %% [markdown]
# ## 4. A half-step (3 points)
#
# `mine.item_factors` are held. A user rated the first three items with `mine.stars`; the other two are holes. There
# are no biases, and $\lambda$ is `mine.als_penalty`. Give her factors with the plain penalty, `p_plain`, with the
# weighted one, `p_weighted`, and what the first predicts for the two holes, `holes`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
known = mine.item_factors[:3]


def solved(strength):
    return np.linalg.solve(known.T @ known + strength * np.eye(2), known.T @ mine.stars)


# END SOLUTION
p_plain = solved(mine.als_penalty)  # SOLUTION
p_weighted = solved(3 * mine.als_penalty)  # SOLUTION
holes = mine.item_factors[3:] @ p_plain  # SOLUTION


# %% tags=["hidden"]
def half_step(student, times):
    own = numbers(student)
    rows = np.vstack([own.item_factors[:3], (times * own.als_penalty) ** 0.5 * np.eye(2)])
    return np.linalg.lstsq(rows, np.append(own.stars, [0, 0]), rcond=None)[0]


def test_p_plain(STUDENT, p_plain):
    same(p_plain, half_step(STUDENT, 1))


def test_p_weighted(STUDENT, p_weighted):
    same(p_weighted, half_step(STUDENT, 3))


def test_holes(STUDENT, holes):
    same(holes, numbers(STUDENT).item_factors[3:] @ half_step(STUDENT, 1))


# %% [markdown]
# ## 5. Every cell counts (2 points)
#
# The same item factors, and now a user who took the items `mine.acts` times. With $\alpha$ as `mine.alpha` and the
# penalty `mine.als_penalty`, give her factors by implicit ALS, `p_implicit` (section 5.10).

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
confidence, target = 1 + mine.alpha * mine.acts, (mine.acts > 0).astype(float)
system = mine.item_factors.T @ (confidence[:, None] * mine.item_factors) + mine.als_penalty * np.eye(2)
# END SOLUTION
p_implicit = np.linalg.solve(system, mine.item_factors.T @ (confidence * target))  # SOLUTION


# %% tags=["hidden"]
def test_p_implicit(STUDENT, p_implicit):
    own = numbers(STUDENT)
    root = np.sqrt(1 + own.alpha * own.acts)
    rows = np.vstack([root[:, None] * own.item_factors, own.als_penalty**0.5 * np.eye(2)])
    same(p_implicit, np.linalg.lstsq(rows, np.append(root * (own.acts > 0), [0, 0]), rcond=None)[0])


# %% [markdown]
# ## 6. One step (3 points)
#
# User vector `mine.p`, item vector `mine.q`, one rating `mine.rating`, squared error. Both vectors make one step of
# the size `mine.step` at once. Give the new vectors `new_p` and `new_q`, and the prediction after the step, `after`.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
error = mine.p @ mine.q - mine.rating
# END SOLUTION
new_p = mine.p - mine.step * 2 * error * mine.q  # SOLUTION
new_q = mine.q - mine.step * 2 * error * mine.p  # SOLUTION
after = new_p @ new_q  # SOLUTION


# %% tags=["hidden"]
def stepped(student):
    import torch

    own = numbers(student)
    p, q = (torch.tensor(each, requires_grad=True) for each in (own.p, own.q))
    optimizer = torch.optim.SGD([p, q], lr=own.step)
    (p @ q - own.rating).square().backward()
    optimizer.step()
    return p.detach().numpy(), q.detach().numpy()


def test_new_p(STUDENT, new_p):
    same(new_p, stepped(STUDENT)[0])


def test_new_q(STUDENT, new_q):
    same(new_q, stepped(STUDENT)[1])


def test_after(STUDENT, after):
    p, q = stepped(STUDENT)
    same(after, p @ q)


# %% [markdown]
# ## 7. The tally (3 points)
#
# Write `rmse_of_batches(batches)`: the RMSE of all errors of a stream of batches, each of which is seen once and has
# a length of its own; an empty batch counts for nothing. Then give `tallied` for `mine.errors`.


# %% tags=["solution"]
def rmse_of_batches(batches):
    # BEGIN SOLUTION
    squared = rows = 0
    for errors in batches:
        squared, rows = squared + (np.asarray(errors) ** 2).sum(), rows + len(errors)
    return (squared / rows) ** 0.5
    # END SOLUTION


tallied = rmse_of_batches(mine.errors)  # SOLUTION


# %% tags=["hidden"]
def test_tallied(STUDENT, tallied):
    same(tallied, np.sqrt(np.mean(np.concatenate(numbers(STUDENT).errors) ** 2)))


def test_uneven_batches(rmse_of_batches):
    same(rmse_of_batches([np.zeros(4), np.array([2.0])]), 0.8**0.5)


def test_a_stream_is_seen_once(rmse_of_batches):
    same(rmse_of_batches(each for each in ([1.0, -1.0], [], [3.0])), (11 / 3) ** 0.5)


# %% [markdown]
# ## 8. Tune the neighbours (4 points)
#
# Split MovieLens-100K with `splits.random_split(ratings, seed=mine.split_seed)`, and the training part once more,
# with the same seed, for validation. Fit `ItemKNN(k=k)` for `k` in 5, 50 and 500 on the inner part. Which `best_k`
# has the highest NDCG@10 on the validation part? Fit it on the whole training part: its NDCG@10 on the test part is
# `test_ndcg`.

# %% tags=["solution"]
from course_utils.data import load_movielens, splits

movielens = load_movielens()
# BEGIN SOLUTION NO PROMPT
from course_utils.evaluation import measure_lists
from course_utils.models.neighbors import ItemKNN

past, future = splits.random_split(movielens.ratings, seed=mine.split_seed)
inner, held = map(movielens.interactions, splits.random_split(past, seed=mine.split_seed))
judged = {k: measure_lists(ItemKNN(k=k).fit(inner), inner, held)["ndcg@10"] for k in (5, 50, 500)}
train, test = map(movielens.interactions, (past, future))
# END SOLUTION
best_k = max(judged, key=judged.get)  # SOLUTION
test_ndcg = measure_lists(ItemKNN(k=best_k).fit(train), train, test)["ndcg@10"]  # SOLUTION


# %% tags=["hidden"]
def by_search(student):
    """The best k of a search and its quality, from scores, masks and lists put together here."""
    from functools import lru_cache

    import torch

    from course_utils import ranking
    from course_utils.data import load_movielens, splits
    from course_utils.evaluation import metrics
    from course_utils.models.neighbors import ItemKNN

    movielens, seed = load_movielens(), numbers(student).split_seed

    @lru_cache
    def quality(k, inside):
        parts = splits.random_split(movielens.ratings, seed=seed)
        parts = splits.random_split(parts[0], seed=seed) if inside else parts
        train, test = map(movielens.interactions, parts)
        scores = ItemKNN(k=k).fit(train).score(torch.arange(train.n_users)).masked_fill(train.mask(), -torch.inf)
        return metrics.ndcg_at_k(ranking.top_k(scores, 10), test.mask(), 10).nanmean().item()

    best = max((5, 50, 500), key=lambda k: quality(k, True))
    return best, quality(best, False)


def test_best_k(STUDENT, best_k):
    same(best_k, by_search(STUDENT)[0])


def test_test_ndcg(STUDENT, test_ndcg):
    same(test_ndcg, by_search(STUDENT)[1], within=5e-4)
