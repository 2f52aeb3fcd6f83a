# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Project. A recommender of your own
#
# One class, the protocol of chapter 3, and numbers that somebody else can compute again. What the class was meant to
# do, what was tried, and whom it fails is told on one page beside this notebook, and marked by a person. The numbers
# are yours alone: they come from your student number. Give each answer to three decimals or more, or hand over the
# number as it was computed. Hand in this notebook. It is run from top to bottom, and each question is judged by
# itself.

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
    rng = np.random.default_rng([9, 1, int(student)])
    return SimpleNamespace(split_seeds=(10 + rng.choice(9_000, 3, replace=False)).tolist())


# %%
if STUDENT is None:
    raise ValueError("put your student number into the cell above")
mine = numbers(STUDENT)

# %%
from course_utils.data import load_movielens, splits

movielens = load_movielens()


def parts(seed):
    """The training and the test part of a split: fit on the first, judge on the second."""
    return map(movielens.interactions, splits.random_split(movielens.ratings, seed=seed))


# %% [markdown]
# ## 1. A recommender (10 points)
#
# Write a class `Mine` that can be made without arguments. `fit(interactions)` learns from what it is given and
# returns the model; `score(users)` gives a finite score for each item, a row for each user asked for, higher is
# better (`course_utils.models.base` says it in full). Use what you like of PyTorch, NumPy and SciPy, and nothing from
# `course_utils.models`. Two points each: it keeps the contract; a user's scores do not depend on who else is asked
# for; it starts anew with each `fit`, and gives the same numbers again; it has an answer for somebody without any
# history; its NDCG@10 beats that of popularity on all splits `mine.split_seeds`.

# %% tags=["solution"]
import torch


class Mine:
    # BEGIN SOLUTION
    def fit(self, interactions):
        seen = interactions.mask().double()
        together = seen.T @ seen
        often = together.diagonal().clone()
        near = together / ((often[:, None] * often).sqrt() + 20)
        near.fill_diagonal_(0)
        self.scores = seen @ near + often * 1e-9
        return self

    def score(self, users):
        return self.scores[torch.as_tensor(users)]

    # END SOLUTION


# %% tags=["hidden"]
from functools import cache


@cache
def part(seed, which=0):
    from course_utils.data import load_movielens, splits

    movielens = load_movielens()
    return movielens.interactions(splits.random_split(movielens.ratings, seed=seed)[which])


def quality(model, seed):
    """NDCG@10 by the book's protocol, of each user with test ratings."""
    from course_utils.evaluation import measure_lists_per_user

    train = part(seed)
    return measure_lists_per_user(model.fit(train), train, part(seed, 1))["ndcg@10"].dropna()


def fitted(Mine, seed):
    return Mine().fit(part(seed))


def numbers_of(scores):
    import torch

    return np.asarray(torch.as_tensor(scores).detach().cpu(), dtype=float)


def test_contract(STUDENT, Mine):
    seed = numbers(STUDENT).split_seeds[0]
    model = Mine()
    assert model.fit(part(seed)) is model, "fit has to return the model"
    scores = numbers_of(model.score([0, 5, 940]))
    assert scores.shape == (3, part(seed).n_items), "a row a user, a column an item"
    assert np.isfinite(scores).all(), "finite scores"
    assert (scores.max(axis=1) > scores.min(axis=1)).all(), "a ranking"


def test_each_user_alone(STUDENT, Mine):
    model = fitted(Mine, numbers(STUDENT).split_seeds[0])
    same(numbers_of(model.score([7]))[0], numbers_of(model.score([3, 7, 900]))[1], within=1e-4)


def test_again_the_same(STUDENT, Mine):
    first, second, _ = numbers(STUDENT).split_seeds
    once, model = fitted(Mine, first), fitted(Mine, second)
    same(numbers_of(model.fit(part(first)).score([1, 2])), numbers_of(once.score([1, 2])), within=1e-4)


def test_no_history(STUDENT, Mine):
    from course_utils.data import load_movielens, splits

    movielens = load_movielens()
    past, _ = splits.random_split(movielens.ratings, seed=numbers(STUDENT).split_seeds[0])
    without = past[past.user_id != movielens.users.user_id.iloc[4]]
    scores = numbers_of(Mine().fit(movielens.interactions(without)).score([4]))
    assert np.isfinite(scores).all(), "finite scores"


def test_beats_popularity(STUDENT, Mine):
    from course_utils.models.baselines import Popularity

    for seed in numbers(STUDENT).split_seeds:
        assert quality(Mine(), seed).mean() > quality(Popularity(), seed).mean(), "not on all three splits"


# %% [markdown]
# ## 2. Its report (6 points)
#
# Fit `Mine` on the training part of each of your three splits. Give its NDCG@10 on the three test parts,
# `quality_of_mine` (three numbers, in the order of `mine.split_seeds`), their standard deviation with the divisor 2,
# `spread`, and the share of users of the *first* split, among those with test ratings, for whom popularity's
# list is strictly better, `worse_for`. All three are computed again with your class, and have to agree.

# %% tags=["solution"]
# BEGIN SOLUTION NO PROMPT
from course_utils.evaluation import measure_lists_per_user
from course_utils.models.baselines import Popularity


def of_users(model, seed):
    train, test = parts(seed)
    return measure_lists_per_user(model.fit(train), train, test)["ndcg@10"].dropna()


first = mine.split_seeds[0]
# END SOLUTION
quality_of_mine = [of_users(Mine(), seed).mean() for seed in mine.split_seeds]  # SOLUTION
spread = np.std(quality_of_mine, ddof=1)  # SOLUTION
worse_for = (of_users(Popularity(), first) > of_users(Mine(), first) + 1e-9).mean()  # SOLUTION


# %% tags=["hidden"]
def test_quality_of_mine(STUDENT, Mine, quality_of_mine):
    same(quality_of_mine, [quality(Mine(), seed).mean() for seed in numbers(STUDENT).split_seeds], within=1e-3)


def test_spread(STUDENT, Mine, spread):
    same(spread, np.std([quality(Mine(), seed).mean() for seed in numbers(STUDENT).split_seeds], ddof=1), within=5e-4)


def test_worse_for(STUDENT, Mine, worse_for):
    from course_utils.models.baselines import Popularity

    seed = numbers(STUDENT).split_seeds[0]
    same(worse_for, (quality(Popularity(), seed) - quality(Mine(), seed) > 1e-9).mean(), within=2e-3)
