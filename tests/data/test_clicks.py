"""The two tables of chapter 8: what a row knows ends before it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import clicks, complete_journey
from course_utils.data.movielens import MovieLens, load_movielens
from course_utils.errors import InputError

LOG = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), max_size=25)


@pytest.fixture(scope="module")
def movielens():
    return load_movielens()


def test_history_by_hand():
    users, times = np.array([7, 7, 8, 7, 7]), np.array([30, 10, 20, 20, 20])
    count, liked = clicks.history(users, times, np.array([1.0, 1, 0, 0, 1]))
    assert count.tolist() == [3, 0, 0, 1, 1]  # the two of time 20 do not see each other
    assert liked.tolist() == [2, 0, 0, 1, 1]
    with pytest.raises(InputError, match=r"got \[2, 1, 2\] rows"):
        clicks.history(users[:2], times[:1], users[:2])


@settings(max_examples=60, deadline=None)
@given(LOG)
def test_history_is_a_naive_count_and_the_future_changes_nothing(log):
    groups, times, labels = (
        np.array(column, np.int64) for column in (zip(*log, strict=True) if log else ([],) * 3)
    )
    count, liked = clicks.history(groups, times, labels)
    for row in range(len(log)):
        before = (groups == groups[row]) & (times < times[row])
        assert (count[row], liked[row]) == (before.sum(), labels[before].sum())
    flipped = clicks.history(groups, times, np.where(times >= 2, 1 - labels, labels))
    assert np.array_equal(flipped[1][times <= 2], liked[times <= 2])


def test_movielens_rows_by_hand(movielens):
    table = clicks.movielens_clicks(movielens)
    assert len(table) == 100_000
    assert table["label"].mean() == pytest.approx((movielens.ratings["rating"] >= 4).mean())
    row = table.iloc[
        0
    ]  # user 196, film 242 (Kolya, 1996), 3 stars, 4 December 1997, 15:55:49 UTC, a Thursday
    assert row[["label", "occupation", "gender", "zip_region", "hour", "weekday"]].tolist() == [
        0,
        "writer",
        "M",
        "5",
        15,
        3,
    ]
    assert row[["genres", "age", "film_age"]].tolist() == ["Comedy", 49, 1]
    past = movielens.ratings[movielens.ratings["timestamp"] < 881250949]
    film = past[past["item_id"] == 242]["rating"] >= 4
    assert (row["item_count"], row["item_rate"]) == (len(film), (film.sum() + 1) / (len(film) + 2))
    assert set(table["zip_region"]) == {*"0123456789", "other"}
    wanted = [name for key in ("dense", "categories", "bags") for name in clicks.MOVIELENS_FEATURES[key]]
    assert set(wanted) <= set(table)
    assert "rating" not in table


def test_neither_the_future_nor_its_own_label_is_in_a_row_of_movielens(movielens):
    stars, when = movielens.ratings["rating"], movielens.ratings["timestamp"]
    cut = int(when.median())
    changed = movielens.ratings.assign(rating=stars.where(when < cut, 6 - stars))
    kept = (when <= cut) | (stars > 1)  # and some later ones are lost
    other = MovieLens(changed[kept], movielens.users, movielens.items, "")
    tables = [clicks.movielens_clicks(source) for source in (movielens, other)]
    before, after = (table[table["timestamp"] <= cut].reset_index(drop=True) for table in tables)
    assert not before["label"].equals(after["label"])
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))


def bought(rows):
    names = ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "week"]
    return pd.DataFrame(rows, columns=names)


BOUGHT = bought(
    [
        [1, 10, 100, 5, 2, 3.0, 1],
        [1, 20, 101, 5, 1, 2.0, 3],
        [1, 20, 101, 6, 0, 1.0, 3],
        [2, 10, 102, 5, 4, 4.0, 13],
        [1, 10, 103, 7, 1, 9.0, 14],
        [1, 10, 104, 7, 1, 9.0, 14],
    ]
)


def test_candidates_by_hand():
    table = clicks.candidates(BOUGHT, 13)  # weeks 1 to 12
    assert table[["household_id", "product_id", "store_id"]].to_numpy().tolist() == [[1, 5, 10], [1, 6, 10]]
    assert table[["weeks_bought", "weeks_since", "price", "range", "popularity"]].to_numpy().tolist() == [
        [2, 10, 2.0, 2, 1],
        [1, 10, 1.0, 2, 1],  # quantity 0 counts as one
    ]
    later = clicks.candidates(BOUGHT, 14)  # weeks 2 to 13: week 1 has left the window, week 14 is the present
    assert later["popularity"].tolist() == [2, 1, 2]
    assert later["store_id"].tolist() == [20, 20, 10]


def test_the_present_and_the_future_change_no_candidate():
    pd.testing.assert_frame_equal(
        clicks.candidates(BOUGHT[BOUGHT["week"] < 14], 14), clicks.candidates(BOUGHT, 14)
    )


def test_journey_on_a_made_up_year(monkeypatch):
    shown = pd.DataFrame(
        {
            "product_id": [5, 5, 6, 5, 5, 99],
            "store_id": [10, 10, 10, 20, 20, 10],
            "display_location": ["0", "9", "A", "1", "0", "2"],
            "mailer_location": ["A", "0", "0", "0", "D", "0"],
            "week": [13, 13, 12, 13, 14, 13],
        }
    )
    people = pd.DataFrame({"household_id": [1], "age": ["25-34"], "income": ["1"], "household_size": ["2"]})
    goods = {"product_id": [5, 6, 7], "department": "G", "brand": "N", "product_category": ["a", "b", "c"]}
    tables = {"transactions": BOUGHT, "products": pd.DataFrame(goods), "demographics": people}
    monkeypatch.setattr(
        clicks, "load_complete_journey", lambda names: complete_journey.CompleteJourney(tables, ())
    )
    monkeypatch.setattr(clicks, "iter_complete_journey", lambda name: iter([shown[:2], shown[2:]]))
    table = clicks.journey_clicks(2)
    keys = table[["week", "household_id", "product_id", "store_id", "display", "mailer", "label"]]
    assert keys.to_numpy().tolist() == [[13, 1, 5, 10, "0", "A", 0.0], [14, 1, 5, 20, "0", "D", 0.0]]
    assert table["age"].tolist() == ["25-34"] * 2
    assert table["category"].tolist() == ["a"] * 2
    with pytest.raises(InputError, match="households: got 3, expected 1 to 2"):
        clicks.journey_clicks(3)


def test_journey_marks_what_was_bought(monkeypatch):
    """A purchase in the week itself is the label, and nothing else of the row knows it."""
    now = pd.concat([BOUGHT, bought([[1, 20, 105, 5, 1, 7.0, 14]])])
    shown = pd.DataFrame(
        {
            "product_id": [5],
            "store_id": [20],
            "display_location": ["1"],
            "mailer_location": ["0"],
            "week": [14],
        }
    )
    people = pd.DataFrame({"household_id": [9], "age": ["25-34"], "income": ["1"], "household_size": ["2"]})
    goods = pd.DataFrame({"product_id": [5], "department": ["G"], "brand": ["N"], "product_category": ["a"]})
    rows = []
    for purchases in (BOUGHT, now):
        tables = {"transactions": purchases, "products": goods, "demographics": people}
        monkeypatch.setattr(
            clicks, "load_complete_journey", lambda names, t=tables: complete_journey.CompleteJourney(t, ())
        )
        monkeypatch.setattr(clicks, "iter_complete_journey", lambda name: iter([shown]))
        rows.append(clicks.journey_clicks(2))
    assert [row["label"].tolist() for row in rows] == [[0.0], [1.0]]
    pd.testing.assert_frame_equal(rows[0].drop(columns="label"), rows[1].drop(columns="label"))
