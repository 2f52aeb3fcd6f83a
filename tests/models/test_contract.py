"""The contract of ``models/base.py``, once for every recommender that the package has."""

import copy
import importlib
import inspect
import pickle
import pkgutil
from dataclasses import fields
from functools import cache, partial

import numpy as np
import pandas as pd
import pytest
import torch

import course_utils
from course_utils.data.features import item_features
from course_utils.data.interactions import Interactions
from course_utils.errors import InputError, NotFittedError
from course_utils.evaluation import measure_lists, measure_ratings
from course_utils.models.graph_data import hetero_graph

USERS, ITEMS = 30, 24  # the last of each has no interaction
FILMS = [(f"word{i % 7} film{i}", 1990 + i % 5, ("Drama", "War", "Drama|War")[i % 3]) for i in range(ITEMS)]
FILMS = item_features(pd.DataFrame(FILMS, columns=["title", "year", "genres"]))


def data(rows=slice(240), seed=0, dtype=float, sizes=(USERS, ITEMS)):
    draw = np.random.default_rng(seed)
    pairs = draw.permutation((USERS - 1) * (ITEMS - 1))[:300]
    table = pd.DataFrame({"user_id": pairs // (ITEMS - 1), "item_id": pairs % (ITEMS - 1)})
    table["rating"] = draw.integers(1, 6, 300).astype(dtype)
    table["timestamp"] = 1_700_000_000 + draw.integers(0, 10**6, 300)
    return Interactions.from_frame(table[rows], user_ids=range(sizes[0]), item_ids=range(sizes[1]))


SIZES, SHORT = {"n_users": USERS, "n_items": ITEMS}, {"factors": 2, "epochs": 2}
SIDES = {"user_features": np.eye(4)[np.arange(USERS) % 4], "item_features": FILMS.matrix.toarray()}
PROMISES = {"Recommender", "RatingModel", "GraphRecommender"}  # protocols, and what the graph models share
CLASSES = {}
for _, module, _ in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
    if not module.endswith("__main__"):
        own = [c for c in vars(importlib.import_module(module)).values() if getattr(c, "__module__", "") == module]
        CLASSES |= {c.__name__: c for c in own if inspect.isclass(c) and hasattr(c, "fit") and hasattr(c, "score")}
CLASSES = {name: found for name, found in CLASSES.items() if name[0] != "_" and name not in PROMISES}
MODELS = {name: {} for name in CLASSES} | {  # options without which a model cannot be made, or is slow
    "RecentPopularity": {"days": 3},
    "RuleRecommender": {"min_count": 2},
    "RuleRecommender, best": {"min_count": 2, "combine": "best"},
    "ContentBased": {"features": FILMS},
    "Hybrid": lambda: {"content": CLASSES["ContentBased"](FILMS.matrix), "collaborative": make("ItemKNN")},
    **{name: {"k": 5} for name in ("ItemKNN", "UserKNN")},
    "EASE": {"regularization": 10.0},
    "EASE, decay": {"regularization": 10.0, "decay": 0.8},
    "ItemKNN, decay": {"k": 5, "decay": 0.8},
    "ALS, no biases": {"factors": 3, "iterations": 4, "biases": False},
    **{name: {"factors": 3, "iterations": 4} for name in ("ALS", "ImplicitALS")},
    "BayesianMF": {"factors": 2, "samples": 4, "burn_in": 2},
    **{name: SIZES | {"factors": 3} for name in ("LightGCN", "GCNRecommender", "MatrixFactorization")},
    "MatrixFactorization, no biases": SIZES | {"factors": 3, "biases": False},
    "ContextFM": SHORT,
    "ContextFM, features": SIDES | SHORT,
    "TwoTower": SIZES | SHORT,
    "TwoTower, features": SIZES | SIDES | SHORT,
    "AutoRec": {"hidden": 3, "epochs": 2},
    "AutoRec, users": {"side": "user", "hidden": 3, "epochs": 2},
    **dict.fromkeys(("MultDAE", "MultVAE"), SHORT),
    **{name: SIZES | {"factors": 3} for name in ("GMF", "MLP", "NeuMF")},
    **dict.fromkeys(("GRU4Rec", "Caser", "SASRec", "HSTU"), SHORT | {"length": 5}),
    "SASRec, negatives": SHORT | {"length": 5, "negatives": 3},
    "NextCode": SHORT | {"length": 5, "codes": torch.arange(ITEMS)[:, None] // torch.tensor([6, 2]) % 4},
    "HeteroLightGCN": lambda: {"graph": hetero_graph(data()), "factors": 3},
}
GRAPHS = {"LightGCN", "HeteroLightGCN", "GCNRecommender"}
# Who does not keep the whole contract, and why:
# modules: they score by their start before they are fitted
START = {"MatrixFactorization", "TwoTower", "GMF", "MLP", "NeuMF"}
WIDE = {"RecentPopularity", "RuleRecommender"}  # always float64: float32 could not hold what decides ties
UNCOPIED = GRAPHS | {"ContextFM"}  # torch pickles a CSR tensor, but cannot deepcopy it


def kind(name):
    return name.partition(",")[0]  # the class alone


def make(name, **seed):
    options = MODELS[name]() if callable(MODELS[name]) else MODELS[name]
    return CLASSES[kind(name)](**options, **seed)


def fit(model, interactions):
    quick = "options" in inspect.signature(model.fit).parameters  # those of loop.fit
    return model.fit(interactions, **({"epochs": 2, "progress": False} if quick else {}))


@cache
def fitted(name):
    return fit(make(name), data())


def doors(model):
    """Each argument that takes codes: its name, how many codes there are, and a call with nothing else to say."""
    yield "users", USERS, model.score
    if hasattr(model, "predict"):
        yield "users", USERS, lambda codes: model.predict(codes, [0] * np.asarray(codes).size)
        yield "items", ITEMS, lambda codes: model.predict([0] * np.asarray(codes).size, codes)


RATERS = [name for name in MODELS if hasattr(CLASSES[kind(name)], "predict")]
DRAWN = {name for name in MODELS if "seed" in inspect.signature(CLASSES[kind(name)]).parameters}
EVERY = torch.arange(USERS)
CODES = [2, 0, ITEMS - 1, 2]
FORMS = [tuple(CODES), pd.Series(CODES), pd.Series(CODES, [9, 8, 7, 6])]
FORMS += [np.array(CODES, each) for each in ("u1", "i1", "i2", "u4", "i4", "i8", "u8", "f8")]
FORMS += [torch.tensor(CODES, dtype=each) for each in (torch.uint8, torch.int32, torch.int64)]
NO_CODES = [[-1], [10**30], [1.5], [np.nan], [np.inf], [True], ["0"], [None], 0, [[0, 1]]]
close = partial(torch.testing.assert_close, rtol=1e-9, atol=1e-11)  # a product of fewer rows rounds otherwise


@pytest.mark.parametrize("name", MODELS)
class TestEveryRecommender:
    def test_scores(self, name):
        scores = fitted(name).score(EVERY)
        assert (scores.shape, scores.dtype, scores.requires_grad) == ((USERS, ITEMS), torch.float64, False)
        assert scores.isfinite().all()  # of the user and the item without interactions too
        assert measure_lists(fitted(name), data(), data(slice(240, 300)), 5)["ndcg@5"] > 0
        scores.fill_(-torch.inf)  # the caller owns the table
        assert fitted(name).score(EVERY).isfinite().all()

    def test_codes_in_every_form(self, name):
        for _, _, call in doors(fitted(name)):
            for codes in FORMS:
                assert torch.equal(call(codes), call(CODES))
            assert call([]).shape == call(EVERY[:0]).shape == (0, *call([0]).shape[1:])

    def test_no_codes(self, name):
        for argument, n, call in doors(fitted(name)):
            for wrong in (*NO_CODES, [n]):
                with pytest.raises(InputError, match=f"^{argument}: got"):
                    call(wrong)

    def test_nothing_to_learn_from_and_not_fitted(self, name):
        with pytest.raises(InputError, match=r"^interactions: got"):
            fit(make(name), data(slice(0)))
        for _, _, call in doors(make(name)):
            if kind(name) in START:
                assert call([0]).isfinite().all()
            else:
                with pytest.raises(NotFittedError, match=kind(name)):
                    call([0])

    def test_a_user_does_not_depend_on_the_others(self, name):
        whole = fitted(name).score(EVERY)
        for users in (EVERY.flip(0), torch.tensor([7, 3, 7]), *EVERY.split(1), *EVERY.split(7)):
            close(fitted(name).score(users), whole[users])

    def test_fit_starts_anew_and_repeats(self, name):
        expected, model = fitted(name).score(EVERY), make(name)
        torch.manual_seed(1)  # the global generators have no part in it
        np.random.seed(1)  # noqa: NPY002
        if name != "HeteroLightGCN":  # its graph is of one training part
            fit(model, data(seed=1))
        for train in (data(), data(), data(dtype=int)):  # whole ratings are ratings
            assert fit(model, train) is model
            assert torch.equal(model.score(EVERY), expected)
        for field in fields(Interactions):  # fit leaves them alone
            before, after = (np.asarray(getattr(part, field.name)).tolist() for part in (data(), train))
            assert after == before
        if name in DRAWN:
            assert not torch.equal(fit(make(name, seed=1), data()).score(EVERY), expected)

    def test_float32(self, name):
        wide = fitted(name).score(EVERY)
        torch.set_default_dtype(torch.float32)
        model, train, test = fit(make(name), data()), data(), data(slice(240, 300))
        scores = model.score(EVERY)
        assert scores.dtype == (torch.float64 if kind(name) in WIDE else torch.float32)
        assert scores.isfinite().all()
        assert measure_lists(model, train, test, 5)["ndcg@5"] > 0
        if name not in DRAWN or name == "Random":  # others start from draws, which differ with the type
            torch.testing.assert_close(scores.double(), wide, rtol=1e-3, atol=1e-3 * float(wide.std()))
        if name in RATERS:
            assert model.predict(test.users, test.items).dtype == torch.float32
            assert np.isfinite(measure_ratings(model, test)).all()

    @pytest.mark.parametrize("sizes", [(USERS + 1, ITEMS), (USERS, ITEMS + 1)])
    def test_other_sizes(self, name, sizes):
        sized = kind(name) in START | GRAPHS or name == "ContextFM, features"
        if sized or (name in ("ContentBased", "Hybrid", "NextCode") and sizes[1] > ITEMS):
            with pytest.raises(InputError, match=r"^(interactions|user_features|item_features): got"):
                fit(make(name), data(sizes=sizes))
        else:
            assert fit(make(name), data(sizes=sizes)).score([0, sizes[0] - 1]).shape == (2, sizes[1])

    def test_copies_score_alike(self, name):
        expected = fitted(name).score(EVERY)
        assert torch.equal(pickle.loads(pickle.dumps(fitted(name))).score(EVERY), expected)
        if kind(name) not in UNCOPIED:
            assert torch.equal(copy.deepcopy(fitted(name)).score(EVERY), expected)


@pytest.mark.parametrize("name", RATERS)
def test_predictions(name):
    model, users, items = fitted(name), EVERY.repeat_interleave(ITEMS), torch.arange(ITEMS).repeat(USERS)
    ratings = model.predict(users, items)
    assert (ratings.shape, ratings.dtype, ratings.requires_grad) == (users.shape, torch.float64, False)
    assert ratings.isfinite().all()
    if kind(name) not in ("ItemKNN", "UserKNN"):  # their scores are sums of similarities
        close(ratings.view(USERS, ITEMS), model.score(EVERY))
    for rows in (torch.tensor([40, 3, 40]), *torch.arange(len(users)).split(100)):
        close(model.predict(users[rows], items[rows]), ratings[rows])
    ratings.fill_(torch.nan)  # the caller owns them
    assert model.predict(users, items).isfinite().all()
    for codes in (([0, 1], [0]), ([0], [0, 1]), ([], [0])):
        with pytest.raises(InputError, match=r"^items: got"):
            model.predict(*codes)
