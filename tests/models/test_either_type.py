"""Every recommender in float32 as in float64: the same lists, up to what rounding may swap."""

import numpy as np
import pandas as pd
import pytest
import torch

from course_utils.data.features import item_features
from course_utils.data.interactions import Interactions
from course_utils.evaluation import measure_lists
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.association_rules import RuleRecommender
from course_utils.models.baselines import BiasModel, Popularity, Random, RecentPopularity
from course_utils.models.content import ContentBased, Hybrid
from course_utils.models.embedding_mf import MatrixFactorization
from course_utils.models.factorization_machines import ContextFM
from course_utils.models.graph import GCNRecommender, LightGCN
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN
from course_utils.models.two_tower import TwoTower

USERS, ITEMS = 30, 24
CATALOGUE = pd.DataFrame(
    {
        "title": [f"word{i % 7} film{i}" for i in range(ITEMS)],
        "year": 1990 + np.arange(ITEMS) % 5,
        "genres": [("Drama", "War", "Drama|War")[i % 3] for i in range(ITEMS)],
    }
)
EXACT = {  # no draw: rounding stays rounding
    "Random": Random,
    "Popularity": Popularity,
    "RecentPopularity": lambda: RecentPopularity(days=3),
    "BiasModel": BiasModel,
    "ItemKNN": lambda: ItemKNN(5),
    "UserKNN": lambda: UserKNN(5),
    "EASE": lambda: EASE(10.0),
    "RuleRecommender": lambda: RuleRecommender(2),
    "ContentBased": lambda: ContentBased(item_features(CATALOGUE).matrix),
    "Hybrid": lambda: Hybrid(ContentBased(item_features(CATALOGUE).matrix), ItemKNN(5)),
}
TRAINED = {  # they start from draws, which differ with the type
    "ALS": lambda: ALS(factors=3, iterations=5),
    "ImplicitALS": lambda: ImplicitALS(factors=3, iterations=5),
    "MatrixFactorization": lambda: MatrixFactorization(USERS, ITEMS, 3),
    "LightGCN": lambda: LightGCN(USERS, ITEMS, 3),
    "GCNRecommender": lambda: GCNRecommender(USERS, ITEMS, 3),
    "TwoTower": lambda: TwoTower(USERS, ITEMS, factors=3, epochs=2),
    "ContextFM": lambda: ContextFM(factors=2, epochs=2),
}


def parts():
    """A training and a test part, made in the default type of the moment."""
    draw = np.random.default_rng(0)
    pairs = draw.permutation(USERS * ITEMS)[:300]
    table = pd.DataFrame({"user_id": pairs // ITEMS, "item_id": pairs % ITEMS})
    table["rating"] = draw.integers(1, 6, 300).astype(float)
    table["timestamp"] = 1_700_000_000 + draw.integers(0, 10**6, 300)
    ids = {"user_ids": range(USERS), "item_ids": range(ITEMS)}
    return Interactions.from_frame(table[:240], **ids), Interactions.from_frame(table[240:], **ids)


def scores(make, dtype, **options):
    torch.set_default_dtype(dtype)
    train, test = parts()
    model = make().fit(train, **options)
    found = model.score(torch.arange(USERS))
    assert found.isfinite().all()
    assert measure_lists(model, train, test, 5)["ndcg@5"] > 0
    return found.double()


@pytest.mark.parametrize("name", EXACT)
def test_the_same_scores(name):
    narrow, wide = (scores(EXACT[name], dtype) for dtype in (torch.float32, torch.float64))
    assert torch.allclose(narrow, wide, rtol=1e-3, atol=1e-3 * float(wide.std()))


@pytest.mark.parametrize("name", TRAINED)
def test_trained_models_run_in_either(name):
    options = (
        {"epochs": 2, "progress": False}
        if name in ("MatrixFactorization", "LightGCN", "GCNRecommender")
        else {}
    )
    narrow, wide = (scores(TRAINED[name], dtype, **options) for dtype in (torch.float32, torch.float64))
    assert narrow.shape == wide.shape == (USERS, ITEMS)
