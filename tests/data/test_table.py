"""A reader's own table: what it is taken for is found out, said, and right; what is doubtful is asked about."""

import gzip
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import k_core, load_table, splits
from course_utils.errors import DataError, InputError, NotFittedError
from course_utils.evaluation import measure_lists, measure_ratings, recommend_for
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.base import fold_in
from course_utils.models.neighbors import EASE, ItemKNN, UserKNN

TIMES = [1_600_000_000, 1_600_000_060, 1_650_000_000, 1_700_000_000]
ROWS = pd.DataFrame({"who": ["a-1", "b", "a-1", "Zoë"], "what": ["007", "12", "12", "x y"], "stars": [1.5, 5, 3, 2]})
ROWS = ROWS.assign(when=TIMES, name=["Bond, J.", "Dozen", "Dozen", "A :) B"])
ASKED = {"user": "who", "item": "what", "rating": "stars", "timestamp": "when"}


def load(source, **options):
    return load_table(source, **{**ASKED, **options})


WRITTEN = {  # form: how a file of it is written, and a word of what is said of it
    "comma": (lambda table, path: table.to_csv(path, index=False), "separator ',', UTF-8, header"),
    "semicolon": (lambda table, path: table.to_csv(path, index=False, sep=";"), "separator ';'"),
    "tab, gz": (lambda table, path: table.to_csv(path, index=False, sep="\t", compression="gzip"), r"separator '\t'"),
    "bar, latin": (lambda table, path: table.to_csv(path, index=False, sep="|", encoding="cp1252"), "CP1252"),
    "mark": (lambda table, path: table.to_csv(path, index=False, encoding="utf-8-sig"), "UTF-8"),
    "parquet": (lambda table, path: table.to_parquet(path), "parquet"),
    "lines": (lambda table, path: table.to_csv(path, index=False, lineterminator="\r\n"), "header"),
}


@pytest.mark.parametrize(("write", "said"), WRITTEN.values(), ids=WRITTEN)
def test_every_form_of_a_file_gives_the_same_table(tmp_path, capsys, write, said):
    write(ROWS, tmp_path / "mine")
    table = load(tmp_path / "mine", title="name")
    assert table.ratings.to_dict("list") == {
        "user_id": ["a-1", "b", "a-1", "Zoë"],
        "item_id": ["007", "12", "12", "x y"],
        "rating": [1.5, 5.0, 3.0, 2.0],
        "timestamp": TIMES,
    }
    assert table.users["user_id"].tolist() == ["Zoë", "a-1", "b"]
    assert [table.title(item) for item in ("007", "12", "x y")] == ["Bond, J.", "Dozen", "A :) B"]
    out = capsys.readouterr().out
    assert out.startswith("mine: Table(4 rows, 3 users, 3 items); ")
    assert said in out
    assert table.rating_range == (1.5, 5.0)
    assert len(table.interactions(table.ratings[:2])) == 2
    assert load(ROWS, title="name").ratings.equals(table.ratings)


def test_a_file_without_header_by_place(tmp_path, capsys):
    (tmp_path / "r.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n10::661::4::978302268\n")
    table = load_table(tmp_path / "r.dat", user=0, item=1, rating=2, timestamp=3)
    assert "separator '::', UTF-8, no header; times in s since 1970" in capsys.readouterr().out
    assert table.ratings.dtypes.astype(str).tolist() == ["int64", "int64", "float64", "int64"]
    assert table.users["user_id"].tolist() == [1, 10]
    with pytest.raises(InputError, match=r"user: got 'who', expected one of the columns '1', .*give places: user=0"):
        load(tmp_path / "r.dat")
    (tmp_path / "h.tsv").write_text("who\twhat\n1\tx\n2\ty\n")
    with pytest.raises(DataError, match=r"h.tsv: row 1 is a header, 'who', 'what': give these names"):
        load_table(tmp_path / "h.tsv", user=0, item=1)
    load_table(tmp_path / "r.dat", user=0, item=1, timestamp=2)
    assert "all before 1980: is it the column of times?" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"timestamp: got 4, expected a place in 0\.\.3"):
        load_table(tmp_path / "r.dat", user=0, item=1, timestamp=4)


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("kind", [int, str])
def test_units_of_time(unit, kind):
    table = load(ROWS.assign(when=[kind(each * unit + unit // 2) for each in TIMES]))
    assert table.ratings["timestamp"].tolist() == TIMES


DATES = pd.to_datetime(pd.Series(TIMES), unit="s")

FORMS = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S+00:00", "%d.%m.%Y %H:%M:%S")
WRITTEN_DATES = [DATES.dt.strftime(form) for form in FORMS]
VIENNA = DATES.dt.tz_localize("UTC").dt.tz_convert("Europe/Vienna")


@pytest.mark.parametrize("when", [DATES, VIENNA, *WRITTEN_DATES], ids=range(5))
def test_dates(when):
    assert load(ROWS.assign(when=when)).ratings["timestamp"].tolist() == TIMES


def test_days_are_read_and_what_reads_as_two_is_asked_about():
    when = ["13/02/2020", "01/02/2020", "03/04/2020", "31/12/2020"]
    days = pd.to_datetime(load(ROWS.assign(when=when)).ratings["timestamp"], unit="s")
    assert days.dt.strftime("%d/%m/%Y").tolist() == when
    with pytest.raises(DataError, match=r"'03/02/2020' read as %d/%m/%Y and as %m/%d/%Y: convert them"):
        load(ROWS.assign(when=["03/02/2020"] * 4))
    with pytest.raises(DataError, match=r"row 2 has 'soon' as timestamp, expected a number or a date; pd\.to_datetime"):
        load(ROWS.assign(when=["2.1.2020 9:05", "soon", "2.1.2020 9:05", "2.1.2020 9:05"]))


def test_gaps_and_repeats_are_asked_about_with_the_way_out(capsys):
    holes = ROWS.assign(when=[TIMES[0], None, TIMES[2], None], stars=[1, 2, np.nan, 4])
    said = r'3 of 4 rows have a gap \(1 without rating, 2 without timestamp\): missing="dr'
    with pytest.raises(DataError, match=said):
        load(holes)
    assert load(holes, missing="drop").ratings["user_id"].tolist() == ["a-1"]
    assert "3 rows left out" in capsys.readouterr().out
    twice = pd.concat([ROWS, ROWS.assign(stars=[3, 1, 1, 1], when=TIMES[::-1])])
    with pytest.raises(DataError, match="4 rows repeat a pair, the first is user 'a-1', item '007': say duplicates="):
        load(twice)
    together = {"last": [3, 1, 3, 2], "mean": [2.25, 3, 2, 1.5], "sum": [4.5, 6, 4, 3], "count": [2] * 4}
    for how, stars in together.items():
        found = load(twice, duplicates=how).ratings.sort_values(["item_id", "user_id"])
        assert found["rating"].tolist() == [stars[0], stars[2], stars[1], stars[3]], how
        assert found["timestamp"].max() == TIMES[3]
    bare = load_table(twice, user="who", item="what", duplicates="count")
    assert bare.ratings["rating"].tolist() == [2.0] * 4
    assert load_table(ROWS, user="who", item="what").rating_range is None


REFUSED = [
    (b"", DataError, "empty, expected a table"),
    (b"\x00\x01\x02" * 50, DataError, "no text, expected a table"),
    (gzip.compress(b"who,what\n1,2\n")[:-9], DataError, "truncated or damaged"),
    (b"who,what,stars,when\n", DataError, "mine: no rows"),
    (b"milk,bread\nmilk\nbeer,eggs,ham\n", DataError, "line 2 has 1 field.*One basket a line"),
    (b'who,what,stars,when\n1,2,"4,5",5\n', DataError, r"'4,5' as rating, expected a number with a point, 4\.5: pd"),
    (b"who,what,stars,when\n1,2,good,5\n", DataError, "row 1 has 'good' as rating, expected a number"),
    (b"who,what,when\n1,2,3\n", InputError, "rating: got 'stars', expected one of the columns 'who', 'what', 'when'"),
]


@pytest.mark.parametrize(("content", "error", "said"), REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_table(tmp_path, content, error, said):
    (tmp_path / "mine").write_bytes(content)
    with pytest.raises(error, match=said):
        load(tmp_path / "mine")
    with pytest.raises(DataError, match="No such file"):
        load(tmp_path / "nowhere")


def test_counts_are_told_from_stars(capsys):
    load(ROWS.assign(stars=[1, 2, 5000, 1]))
    assert "ratings up to 5000 with a median of 1.5: counts, no stars?" in capsys.readouterr().out
    load(ROWS)
    assert "counts" not in capsys.readouterr().out


PAIRS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), unique=True, min_size=1)


@settings(max_examples=60)
@given(PAIRS, st.integers(1, 3), st.integers(1, 3))
def test_a_core_is_the_largest_part_that_keeps_its_word(pairs, users, items):
    table = pd.DataFrame(pairs, columns=["user_id", "item_id"])
    core = k_core(table, users, items)
    kept = {tuple(row) for row in core.to_numpy().tolist()}
    left = set(pairs)
    for _ in pairs:  # one at a time, in another order
        left = {p for p in left if sum(q[1] == p[1] for q in left) >= items}
        left = {p for p in left if sum(q[0] == p[0] for q in left) >= users}
    assert kept == left
    whole = load_table(table, user="user_id", item="item_id")
    part = k_core(whole, users, items)
    assert set(part.users["user_id"]) == {user for user, _ in left}
    assert set(part.items["item_id"]) == {item for _, item in left}


def test_the_summary_of_movielens(movielens):
    found = movielens.summary()
    assert found[["users", "items", "rows", "rating range"]].tolist() == [943, 1682, 100_000, (1.0, 5.0)]
    assert found["density"] == pytest.approx(0.063047, abs=1e-6)
    assert found[["first day", "last day"]].tolist() == ["1997-09-20", "1998-04-22"]
    assert movielens.title(50) == "Star Wars"
    with pytest.raises(InputError, match="item: got 0"):
        movielens.title(0)


def test_ratings_of_another_scale_are_clipped_to_their_own():
    rows = [(u, i, 10 * ((u + i) % 10)) for u in range(9) for i in range(9)]
    table = load_table(pd.DataFrame(rows), user=0, item=1, rating=2)
    part = table.interactions(table.ratings[:20])
    assert part.rating_range == (0.0, 90.0)
    assert repr(part) == "Interactions(20 of 9 users with 9 items)"
    model = SimpleNamespace(predict=lambda users, items: 2 * part.ratings - 45)
    bare = replace(part, rating_range=None)
    for known, clipped in ((part, (0, 90)), (bare, (-np.inf, np.inf))):
        expected = ((2 * part.ratings - 45).clamp(*clipped) - part.ratings).square().mean().sqrt()
        assert measure_ratings(model, known)["rmse"] == pytest.approx(float(expected))


@pytest.mark.parametrize("model", [ItemKNN(10), EASE(50.0), ImplicitALS(8, 5.0, solver="cholesky")], ids=range(3))
def test_a_new_person_is_scored_as_the_same_person_in_training(movielens, model):
    ratings = movielens.ratings[movielens.ratings["user_id"] < 200]
    with pytest.raises(NotFittedError):
        fold_in(model, movielens.interactions(ratings))
    train = movielens.interactions(ratings)
    model.fit(train)
    folded = fold_in(model, train)
    if isinstance(model, ImplicitALS):  # one more half-step than training took: its ridge solution, by hand
        seen = torch.from_numpy(train.csr().toarray()[5])
        Q, c = model.item_factors, 1 + model.alpha * seen
        p = torch.linalg.solve(Q.T @ (c[:, None] * Q) + 5 * torch.eye(8), Q.T @ (c * (seen > 0)))
        torch.testing.assert_close(folded[5], Q @ p)
    else:
        torch.testing.assert_close(folded, model.score(range(train.n_users)))
        by_id = recommend_for(model, train, 100, 5, items=movielens.items)
        hers = ratings[ratings["user_id"] == 100]
        new = recommend_for(model, train, k=5, history=hers["item_id"], items=movielens.items)
        pd.testing.assert_frame_equal(by_id, new)
    rated = recommend_for(model, train, k=3, history={50: 5.0, 181: 4.0})
    assert len(rated) == 3
    assert not rated["item_id"].isin([50, 181]).any()
    assert rated["score"].is_monotonic_decreasing


def test_who_cannot_fold_in_says_so_and_ids_are_ids(movielens):
    train = movielens.interactions(movielens.ratings[:500])
    for model in (ALS(2, iterations=1), UserKNN(5)):
        with pytest.raises(InputError, match="expected ImplicitALS, EASE, ItemKNN, MultDAE, MultVAE or one"):
            fold_in(model.fit(train), train)
    model = EASE().fit(train)
    for options in ({}, {"user_id": 1, "history": [1]}, {"user_id": "1"}, {"history": [99_999]}):
        with pytest.raises(InputError, match=r"^(user_id|item_id): got"):
            recommend_for(model, train, **options)


def test_a_beginners_slips_are_told_what_to_write_instead():
    table = load(ROWS)
    train = table.interactions()
    model = EASE().fit(train)
    names = pd.DataFrame({"item_id": ["12", "12", "x y"], "title": ["Dozen", "Dozen", "Z"]})  # one twice, one not there
    found = recommend_for(model, train, "b", k=2, items=names).set_index("item_id")["title"]
    assert found.to_dict() == {"007": pytest.approx(np.nan, nan_ok=True), "x y": "Z"}
    zeros = replace(train, ratings=train.ratings - train.ratings.min())
    slips = {
        "got Table, expected a DataFrame, such as table.ratings": lambda: splits.random_split(table),
        "a column 'timestamp'; without times, random": lambda: splits.per_user_temporal(table.ratings.iloc[:, :3]),
        "interactions: got Table, expected Interactions": lambda: ItemKNN(2).fit(table),
        "interactions: got DataFrame, expected Interactions": lambda: ImplicitALS(2).fit(table.ratings),
        "train: got DataFrame, expected Interactions": lambda: measure_lists(model, table.ratings, train),
        "got ratings from 0 to 3.5, expected ratings above 0": lambda: ImplicitALS(2).fit(zeros),
        "got EASE, expected one that predicts ratings": lambda: measure_ratings(model, train),
        "expected the columns 'item_id' and 'title'": lambda: recommend_for(model, train, "b", 1, items=table.items),
        "items: got ids of type integer": lambda: recommend_for(model, train, "b", 1, items=names.assign(item_id=1)),
        "history: got '12', expected a list": lambda: recommend_for(model, train, history="12"),
        "such as": lambda: recommend_for(model, train, "Zoe"),
        "are titles in another file": lambda: load(ROWS, title="Title"),
    }
    for said, slip in slips.items():
        with pytest.raises(InputError, match=said):
            slip()
    with pytest.raises(DataError, match="did k_core drop them all"):
        k_core(table, 99, 99).summary()
