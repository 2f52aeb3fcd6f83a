"""Two tables of yes-or-no questions, with a history that looks only backwards; taught in chapter 8."""

import numpy as np
import pandas as pd

from course_utils.data.complete_journey import iter_promotions, load_complete_journey
from course_utils.data.movielens import MovieLens
from course_utils.errors import check_counts, refuse

WINDOW = 12  # weeks that the history of a household goes back
LIKED = 4  # stars
# What each task hands to ``encoder.Encoder``. The ids of users and items are features like the others.
MOVIELENS_FEATURES: dict[str, list[str]] = {
    "dense": ["age", "film_age", "user_count", "user_rate", "item_count", "item_rate"],
    "categories": ["user_id", "item_id", "occupation", "gender", "zip_region", "hour", "weekday"],
    "bags": ["genres"],
    "log": ["user_count", "item_count"],
}
JOURNEY_FEATURES: dict[str, list[str]] = {
    "dense": ["weeks_bought", "weeks_since", "price", "range", "popularity"],
    "categories": [
        *("household_id", "product_id", "store_id", "display", "mailer"),
        *("age", "income", "household_size", "department", "brand", "category"),
    ],
    "log": ["weeks_bought", "weeks_since", "price", "range", "popularity"],
}


def history(groups: np.ndarray, times: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each row, how many rows of its group (a user, say) are strictly earlier, and the sum of their labels.

    All five are ``(n,)``. Rows of one group and time do not see each other, for nothing says which came first.
    """
    lengths = [len(groups), len(times), len(labels)]
    refuse(not len(groups) == len(times) == len(labels), "groups, times, labels", f"{lengths} rows", "the same number")
    order = np.lexsort((times, groups))
    g, t = np.asarray(groups)[order], np.asarray(times)[order]
    place = np.arange(len(order))
    new_group = np.append(True, g[1:] != g[:-1])[: len(g)]
    new_time = new_group | np.append(True, t[1:] != t[:-1])[: len(g)]
    begin = np.maximum.accumulate(np.where(new_group, place, 0))  # first row of the group
    before = np.maximum.accumulate(np.where(new_time, place, 0))  # first row of the same time
    sums = np.append(0, np.cumsum(np.asarray(labels)[order]))
    count, total = np.empty(len(order), np.int64), np.empty(len(order))
    count[order], total[order] = before - begin, sums[before] - sums[begin]
    return count, total


def movielens_clicks(movielens: MovieLens) -> pd.DataFrame:
    """Will this user rate this film 4 or 5? One row a rating of MovieLens-100K, in the order of its table.

    Columns ``user_id item_id timestamp``; ``label``; the categories ``occupation gender zip_region`` (first digit of
    the zip code, "other" abroad) ``hour weekday`` (UTC); the bag ``genres``; the numbers ``age film_age`` (years),
    ``user_count item_count`` (earlier ratings, of anybody), ``user_rate item_rate`` ((liked + 1) / (count + 2)).
    """
    table = movielens.ratings.merge(movielens.users, on="user_id", how="left", validate="many_to_one")
    table = table.merge(movielens.items, on="item_id", how="left", validate="many_to_one")
    when = pd.to_datetime(table["timestamp"], unit="s")
    region = table["zip_code"].str[0]
    label = (table["rating"] >= LIKED).astype("float64")
    columns = {"label": label, "occupation": table["occupation"], "gender": table["gender"]}
    columns |= {"zip_region": region.where(region.str.isdigit(), "other")}
    columns |= {"hour": when.dt.hour, "weekday": when.dt.day_of_week, "genres": table["genres"]}
    columns |= {"age": table["age"], "film_age": when.dt.year - table["year"]}
    for kind in ("user", "item"):
        count, liked = history(table[f"{kind}_id"], table["timestamp"], label)
        columns |= {f"{kind}_count": count, f"{kind}_rate": (liked + 1) / (count + 2)}
    return table[["user_id", "item_id", "timestamp"]].assign(**columns)


def journey_clicks(households: int = 150, *, seed: int = 0) -> pd.DataFrame:
    """Of the products on display or in the mailer that it bought lately, which does a household buy this week?

    One row for each household of a random sample of so many, week (13 to 53) and product that it bought in the twelve
    weeks before and that its usual store shows or advertises in that week, sorted by week, household and product. The
    usual store is the one it visited most often then. What a row knows of the past ends with the week before.

    Columns ``household_id week product_id store_id``; ``label``; the categories ``display mailer`` (placement, "0" for
    none), ``age income household_size`` (missing for many households), ``department brand category``; the numbers
    ``weeks_bought`` (1 to 12) and ``weeks_since`` (1 to 12) of household and product, ``price`` (what it last paid
    for one), ``range`` (products it bought), ``popularity`` (households that bought it), all in the twelve weeks.
    """
    wanted = ["household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value", "week"]
    journey = load_complete_journey({"transactions": wanted, "products": None, "demographics": None})
    bought = journey["transactions"]
    known = np.unique(bought["household_id"])
    check_counts(1, len(known), households=households)
    sample = np.random.default_rng(seed).choice(known, households, replace=False)
    bought = bought[bought["household_id"].isin(sample)]
    weeks = range(WINDOW + 1, int(bought["week"].max()) + 1)
    pairs = pd.concat([candidates(bought, week) for week in weeks], ignore_index=True)
    table = pairs.merge(_promotions(pairs), on=["store_id", "product_id", "week"])
    now = bought[["household_id", "product_id", "week"]].drop_duplicates().assign(label=1.0)
    table = table.merge(now, on=["household_id", "product_id", "week"], how="left")
    people = journey["demographics"][["household_id", "age", "income", "household_size"]]
    goods = journey["products"][["product_id", "department", "brand", "product_category"]]
    table = table.fillna({"label": 0.0}).merge(people, on="household_id", how="left")
    table = table.merge(goods.rename(columns={"product_category": "category"}), on="product_id", how="left")
    return table.sort_values(["week", "household_id", "product_id"], ignore_index=True)


def candidates(bought: pd.DataFrame, week: int) -> pd.DataFrame:
    """What each household bought in the twelve weeks before ``week``, with its usual store and its history.

    One row a household and product: ``household_id product_id week store_id`` and the numbers of
    :func:`journey_clicks`. Purchases in ``week`` itself and later ones change nothing.
    """
    past = bought[bought["week"].between(week - WINDOW, week - 1)].sort_values("week", kind="stable")
    visits = past.drop_duplicates(["household_id", "basket_id"]).value_counts(["household_id", "store_id"])
    visits = visits.rename("n").reset_index().sort_values(["n", "store_id"], ascending=[False, True])
    store = visits.drop_duplicates("household_id").set_index("household_id")["store_id"]
    pair = past.groupby(["household_id", "product_id"])
    table = pair.agg(weeks_bought=("week", "nunique"), last=("week", "last")).reset_index()
    latest = pair[["sales_value", "quantity"]].last().reset_index(drop=True)
    return table[["household_id", "product_id"]].assign(
        week=week,
        store_id=table["household_id"].map(store),
        weeks_bought=table["weeks_bought"],
        weeks_since=week - table["last"],
        price=latest["sales_value"] / latest["quantity"].clip(lower=1),
        range=table.groupby("household_id")["product_id"].transform("size"),
        popularity=table.groupby("product_id")["household_id"].transform("size"),
    )


def _promotions(pairs: pd.DataFrame) -> pd.DataFrame:
    """Placement by store, product and week, of the stores and products that occur; the first entry where several do."""
    products, stores = pd.Index(pairs["product_id"].unique()), pd.Index(pairs["store_id"].unique())
    known = np.zeros((len(stores) + 1, len(products) + 1), bool)  # -1, not found, reads the last row or column
    known[stores.get_indexer(pairs["store_id"]), products.get_indexer(pairs["product_id"])] = True
    kept = []
    for chunk in iter_promotions():
        place = stores.get_indexer(chunk["store_id"]), products.get_indexer(chunk["product_id"])
        kept.append(chunk[known[place]])
    table = pd.concat(kept).drop_duplicates(["store_id", "product_id", "week"])
    return table.rename(columns={"display_location": "display", "mailer_location": "mailer"})
