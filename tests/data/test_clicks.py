"""The two tables of chapter 8: what a row knows ends before it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.data import clicks
from course_utils.data.movielens import MovieLens
from course_utils.errors import InputError

LOG = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 4), st.integers(0, 1)), max_size=25)


@given(LOG)
def test_history_is_a_naive_count_and_the_future_changes_nothing(log):
    groups, times, labels = np.array(log, np.int64).reshape(-1, 3).T
    count, liked = clicks.history(groups, times, labels)
    for row in range(len(log)):
        before = (groups == groups[row]) & (times < times[row])
        assert (count[row], liked[row]) == (before.sum(), labels[before].sum())
    flipped = clicks.history(groups, times, np.where(times >= 2, 1 - labels, labels))
    assert np.array_equal(flipped[1][times <= 2], liked[times <= 2])
    with pytest.raises(InputError, match=r"got \[\d+, \d+, \d+\] rows"):
        clicks.history(groups, [*times, 1], labels)


def test_movielens_rows_by_hand(movielens):
    table = clicks.movielens_clicks(movielens)
    assert len(table) == 100_000
    assert table["label"].mean() == pytest.approx((movielens.ratings["rating"] >= 4).mean())
    row = table.iloc[0]  # user 196, film 242 (Kolya, 1996), 3 stars, 4 December 1997, 15:55:49 UTC, a Thursday
    kinds = ["label", "occupation", "gender", "zip_region", "hour", "weekday", "genres", "age", "film_age"]
    assert row[kinds].tolist() == [0, "writer", "M", "5", 15, 3, "Comedy", 49, 1]
    past = movielens.ratings[movielens.ratings["timestamp"] < 881250949]
    film = past[past["item_id"] == 242]["rating"] >= 4
    assert (row["item_count"], row["item_rate"]) == (len(film), (film.sum() + 1) / (len(film) + 2))
    assert set(table["zip_region"]) == {*"0123456789", "other"}
    assert {name for names in clicks.MOVIELENS_FEATURES.values() for name in names} <= {*table} - {"rating"}


def test_neither_the_future_nor_its_own_label_is_in_a_row_of_movielens(movielens):
    stars, when = movielens.ratings["rating"], movielens.ratings["timestamp"]
    cut = int(when.median())
    changed = movielens.ratings.assign(rating=stars.where(when < cut, 6 - stars))
    kept = (when <= cut) | (stars > 1)  # and some later ones are lost
    other = MovieLens(changed[kept], movielens.users, movielens.items)
    tables = [clicks.movielens_clicks(source) for source in (movielens, other)]
    before, after = (table[table["timestamp"] <= cut].reset_index(drop=True) for table in tables)
    assert not before["label"].equals(after["label"])
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))


BOUGHT = [[1, 10, 100, 5, 2, 3.0, 1], [1, 20, 101, 5, 1, 2.0, 3], [1, 20, 101, 6, 0, 1.0, 3]]
BOUGHT += [[2, 10, 102, 5, 4, 4.0, 13], [1, 10, 103, 7, 1, 9.0, 14], [1, 10, 104, 7, 1, 9.0, 14]]
COLUMNS = ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "week"]
BOUGHT = pd.DataFrame(BOUGHT, columns=COLUMNS)


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
    pd.testing.assert_frame_equal(later, clicks.candidates(BOUGHT[BOUGHT["week"] < 14], 14))


PEOPLE = pd.DataFrame({"household_id": [1], "age": ["25-34"], "income": ["1"], "household_size": ["2"]})
GOODS = pd.DataFrame({"product_id": [5, 6, 7], "department": "G", "brand": "N", "product_category": ["a", "b", "c"]})


def journey(monkeypatch, bought, shown):
    """The table of two households from these purchases, and promotions that come in two chunks."""
    names = ["product_id", "store_id", "display_location", "mailer_location", "week"]
    promotions = pd.DataFrame(shown, columns=names)
    made = {"transactions": bought, "products": GOODS, "demographics": PEOPLE}
    monkeypatch.setattr(clicks, "load_complete_journey", lambda names: made)
    monkeypatch.setattr(clicks, "iter_promotions", lambda: iter([promotions[:2], promotions[2:]]))
    return clicks.journey_clicks(2)


def test_journey_on_a_made_up_year(monkeypatch):
    shown = [
        *([5, 10, "0", "A", 13], [5, 10, "9", "0", 13], [6, 10, "A", "0", 12]),
        *([5, 20, "1", "0", 13], [5, 20, "0", "D", 14], [99, 10, "2", "0", 13]),
    ]
    table = journey(monkeypatch, BOUGHT, shown)
    keys = table[["week", "household_id", "product_id", "store_id", "display", "mailer", "label"]]
    assert keys.to_numpy().tolist() == [[13, 1, 5, 10, "0", "A", 0.0], [14, 1, 5, 20, "0", "D", 0.0]]
    assert table[["age", "category"]].to_numpy().tolist() == [["25-34", "a"]] * 2
    with pytest.raises(InputError, match=r"households: got 3, expected a whole number in 1..2"):
        clicks.journey_clicks(3)
    # A purchase in the week itself is the label, and nothing else of the row knows it.
    now = BOUGHT.iloc[[0]].assign(store_id=20, basket_id=105, quantity=1, sales_value=7.0, week=14)
    bought = journey(monkeypatch, pd.concat([BOUGHT, now]), shown)
    assert bought["label"].tolist() == [0.0, 1.0]
    pd.testing.assert_frame_equal(bought.drop(columns="label"), table.drop(columns="label"))
