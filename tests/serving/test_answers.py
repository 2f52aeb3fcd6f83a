"""The service says what the notebook says, and why."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from lives import small
from shared import refusals

from course_utils.data import Interactions, load_movielens, load_table
from course_utils.evaluation import recommend_for
from course_utils.models.als import ImplicitALS
from course_utils.models.autoencoders import MultDAE
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN
from course_utils.models.sequential import MarkovChain
from course_utils.serving import Service, Store, create_app, reasons
from course_utils.serving.answers import Answers

MODELS = [EASE(), ImplicitALS(iterations=3), ItemKNN(decay=0.9), MarkovChain(), MultDAE(20, epochs=1)]


@pytest.fixture(scope="module")
def films():
    return load_movielens()


@pytest.fixture
def ask(films, tmp_path):
    """Starts a service; a call that asks it over the wire."""
    started = []

    def start(model, **options):
        started.append(Service(create_app(model, films, Store(tmp_path / "feedback.sqlite"), **options)))
        return started[-1].ask

    yield start
    for service in started:
        service.stop()


def histories(films, n, rng):
    """Random people: from one film to forty, with stars, in no order of codes."""
    for _ in range(n):
        items = rng.choice(films.items["item_id"].to_numpy(), rng.integers(1, 40), replace=False)
        yield {int(item): float(rng.integers(1, 6)) for item in items}


def wire(history):
    return [{"item": item, "rating": rating} for item, rating in history.items()]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_answers_equal_the_notebooks(films, ask, model):
    rng = np.random.default_rng(0)
    train = films.interactions()
    model.fit(train)
    answer = ask(model)
    for place, history in enumerate(histories(films, 30, rng)):
        k = int(rng.integers(1, 30))
        said = answer("/recommend", {"history": wire(history), "k": k, "reasons": place % 3 == 0})
        wanted = recommend_for(model, train, history=history, k=k, items=films.items)
        found = pd.DataFrame(said["items"])
        assert (len(found), said["version"]) == (k, repr(model))
        assert not set(found["item"]) & set(history)
        for theirs, ours in {"item": "item_id", "title": "title", "score": "score"}.items():
            assert found[theirs].tolist() == wanted[ours].tolist()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_a_reason_is_a_share_of_the_score_or_what_it_loses(films, model):
    train, rng = films.interactions(), np.random.default_rng(1)
    model.fit(train)
    history = next(histories(films, 1, rng)) | {50: 5.0, 181: 1.0}

    def scores(items):
        table = recommend_for(model, train, history={item: history[item] for item in items}, k=1682 - len(items))
        return table.set_index("item_id")["score"]

    full, rows = scores(history), Answers(model, films).recommend(history, 5)
    codes = torch.tensor([row["item"] - 1 for row in rows])
    frame = pd.DataFrame({"user_id": 0, "item_id": [*history], "rating": [*history.values()]})
    found = reasons(model, Interactions.from_frame(frame, item_ids=train.item_ids), codes)
    if isinstance(model, ImplicitALS):  # by elimination: what each film adds to the right side
        q, extra = model.item_factors[[item - 1 for item in history]], model.alpha * torch.tensor([*history.values()])
        W = model.item_factors.mT @ model.item_factors + model.regularization * torch.eye(64) + (extra * q.mT) @ q
        expected = ((1 + extra) * q.mT).mT @ W.inverse() @ model.item_factors[codes].mT
    else:
        lost = [full - scores([other for other in history if other != one]) for one in history]
        expected = torch.tensor([[float(each[row["item"]]) for row in rows] for each in lost])
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)
    if isinstance(model, ImplicitALS | EASE):
        assert found.sum(0).tolist() == pytest.approx([row["score"] for row in rows])
    for place, row in enumerate(rows):
        best, which = expected[:, place].topk(2)
        said = [(each["item"], each["carries"]) for each in row["because"]]
        assert [item for item, _ in said] == [
            [*history][one] for one, value in zip(which, best, strict=True) if value > 0
        ]
        assert [carries for _, carries in said] == pytest.approx(best[best > 0].tolist())


def test_of_ease_a_reason_is_a_weight_and_large_tables_come_in_parts(films, monkeypatch):
    model = EASE().fit(films.interactions())
    answers = Answers(model, films)
    for numbers in (2_000_000, 4_000):
        monkeypatch.setattr("course_utils.serving.answers._NUMBERS", numbers)
        row = answers.recommend({50: 5.0, 181: 1.0, 1: 3.0}, 1)[0]
        weights = model.weights[[49, 180, 0], row["item"] - 1].sort(descending=True).values[:2]
        assert [each["carries"] for each in row["because"]] == pytest.approx(weights.tolist())
    (alone,) = answers.recommend({50: 5.0}, 1)
    assert [(each["title"], each["carries"]) for each in alone["because"]] == [("Star Wars", alone["score"])]


def test_who_said_nothing_gets_the_most_rated_and_titles_are_searched(films, ask):
    answer = ask(EASE().fit(films.interactions()))
    counts = films.ratings["item_id"].value_counts()
    said = answer("/recommend", {"history": [], "k": 3})
    assert [row["score"] for row in said["items"]] == counts.head(3).tolist()
    assert {str(row["because"]) for row in said["items"]} == {"[]"}
    assert [row["title"] for row in answer("/items?search=wars+STAR")["items"]] == ["Star Wars"]
    assert [row["item"] for row in answer("/items")["items"]] == counts.head(12).index.tolist()
    assert answer("/items?search=no%20such%20film")["items"] == []


def test_feedback_comes_back(films, ask, tmp_path):
    answer = ask(EASE().fit(films.interactions()))
    for place, (item, rating) in enumerate([(50, 5), (181, 4), (50, 3), (181, None)], 1):
        said = {"person": "ann", "item": item, "rating": rating, "place": place}
        assert answer("/feedback", said) == {"kept": place}
    assert answer("/feedback?person=ann")["items"] == [{"item": 50, "title": "Star Wars", "rating": 3.0}]
    frame = Store(tmp_path / "feedback.sqlite").frame()
    assert frame["place"].tolist() == [1, 2, 3, 4]
    assert set(frame["version"]) == {"EASE(regularization=400.0, decay=1.0)"}


def test_of_two_versions_a_person_meets_one_and_what_she_was_shown_is_kept(films, ask, tmp_path):
    train = films.interactions()
    models = {"A": EASE().fit(train), "B": ItemKNN().fit(train)}
    answer = ask(models)
    assert answer("/health")["versions"] == {name: repr(model) for name, model in models.items()}
    history, met = {50: 5.0, 1: 4.0}, {}
    for number in range(40):
        said = answer("/recommend", {"history": wire(history), "k": 3, "person": f"p{number}", "reasons": False})
        wanted = recommend_for(models[said["version"]], train, history=history, k=3)
        assert [row["item"] for row in said["items"]] == wanted["item_id"].tolist()
        met[f"p{number}"] = said
    assert 10 < sum(said["version"] == "A" for said in met.values()) < 30
    shown = Store(tmp_path / "feedback.sqlite").frame("shown")
    for person, said in met.items():
        row = shown.loc[said["shown"]]
        assert (row["user_id"], row["version"]) == (person, said["version"])
        assert row["items"] == [each["item"] for each in said["items"]]
        item = said["items"][0]["item"]
        answer("/feedback", {"person": person, "item": item, "rating": 4, "place": 1, "shown": said["shown"]})
        assert answer("/recommend", {"history": [], "person": person})["version"] == said["version"]
    frame = Store(tmp_path / "feedback.sqlite").frame()
    assert frame["version"].tolist() == [said["version"] for said in met.values()]
    assert frame["shown"].tolist() == [said["shown"] for said in met.values()]
    assert answer("/recommend", {"history": wire(history)})["shown"] is None  # nobody in particular


def test_a_table_of_clicks_with_ids_of_text(tmp_path):
    clicks = pd.DataFrame({"who": list("aabbcc"), "what": ["milk", "bread", "milk", "eggs", "milk", "bread"]})
    table = load_table(clicks, user="who", item="what")
    service = Service(create_app(EASE(1.0).fit(table.interactions()), table, Store(tmp_path / "feedback.sqlite")))
    assert service.ask("/health")["choices"] == [1.0]
    said = service.ask("/recommend", {"history": [{"item": "milk", "rating": 1}], "k": 2})
    assert [row["title"] for row in said["items"]] == ["bread", "eggs"]
    said = service.ask("/recommend", {"history": [{"item": "milk", "rating": 4}], "k": 2})
    assert said == {"detail": "history.0.rating: Input should be less than or equal to 1"}
    service.stop()
    counts = replace(table, ratings=table.ratings.assign(rating=[1.0, 1, 90, 1, 2, 1]))  # plays are no stars
    counting = Service(create_app(EASE(1.0).fit(counts.interactions()), counts, Store(tmp_path / "plays.sqlite")))
    assert counting.ask("/health")["choices"] == [1.0]
    assert counting.ask("/recommend", {"history": [{"item": "milk", "rating": 40}], "k": 1})["items"]
    counting.stop()


def test_the_index_finds_what_scoring_all_finds(films):
    train = films.interactions()
    model = ImplicitALS().fit(train)
    answers, exact = Answers(model, films, index=True), Answers(model, films)
    shared = []
    for _, rows in list(films.ratings.groupby("user_id"))[::5]:
        history = dict(rows[["item_id", "rating"]].tail(200).itertuples(index=False))
        found, wanted = (
            {row["item"]: row["score"] for row in each.recommend(history, why=False)} for each in (answers, exact)
        )
        shared.append(len(found.keys() & wanted.keys()) / 10)
        assert [found[item] for item in found.keys() & wanted.keys()] == pytest.approx(
            [wanted[item] for item in found.keys() & wanted.keys()], abs=1e-9
        )
        assert (len(found), found.keys() & history.keys()) == (10, set())
    assert np.mean(shared) >= 0.95


TABLE = small()
FITTED = EASE().fit(TABLE.interactions())
test_refusals = refusals(
    ("model", Answers, UserKNN().fit(TABLE.interactions()), TABLE),
    ("interactions", Answers, FITTED, load_movielens()),
    ("index", Answers, FITTED, TABLE, {"index": True}),
    ("item", Answers(FITTED, TABLE).recommend, {"history": {99: 1.0}}),
    ("k", Answers(FITTED, TABLE).recommend, {1: 1.0}, 13),
)
