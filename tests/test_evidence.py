"""Published numbers and the page that shows them: each is typed once, shown once, with ours beside it."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

from course_utils.data.interactions import Interactions

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "experiments"))

import ch20_evidence as evidence  # noqa: E402 - scripts of experiments/, no package
import ch20_published as published  # noqa: E402

PAGE = ROOT / "book" / "evidence.md"


def test_the_table_is_what_the_script_holds():
    committed = pd.read_csv(ROOT / "results" / "ch20_published.csv", keep_default_na=False)
    assert committed.to_dict("records") == [{k: row[k] for k in committed} for row in published.rows()]


def slug(*words):
    return re.sub(r"[^a-z0-9]+", "_", "_".join(words).lower().replace("+", "p")).strip("_")


def test_every_published_number_is_on_the_page_or_one_of_its_kind():
    shown = set(re.findall(r"ipynb::([a-z0-9_]+)", PAGE.read_text(encoding="utf-8")))
    rows = pd.DataFrame(published.rows())
    for (source, model), measures in rows.groupby(["source", "model"])["measure"]:
        keys = {slug(source, model, measure, "theirs") for measure in measures}
        assert keys & shown, f"{source}, {model}: not on the page"


def test_the_page_types_no_decimal():
    text = re.sub(r"\{glue:text\}`[^`]*`|\]\([^)]*\)", "", PAGE.read_text(encoding="utf-8"))
    assert not re.findall(r"\d\.\d", text)


@pytest.mark.parametrize("split", [evidence.stratified, evidence.numbered])
def test_the_splits_of_recommenders_by_hand(split):
    ratings = pd.DataFrame({"user_id": [1] * 4 + [2] * 5, "item_id": range(9)})
    train, test = split(ratings)
    assert sorted([*train.index, *test.index]) == list(range(9))
    assert train.groupby("user_id").size().tolist() == [3, 4]  # 0.75 of 4; 3.75 of 5, rounded


def test_sar_by_hand():
    day = 24 * 3600
    frame = pd.DataFrame({"user_id": [0, 0, 1, 1], "item_id": [0, 1, 1, 2], "rating": [4.0, 2.0, 5.0, 3.0]})
    frame["timestamp"] = [0, 30 * day, 60 * day, 60 * day]
    model = evidence.SAR().fit(Interactions.from_frame(frame))
    # items 0 and 1 share one of two users, 1 and 2 as well, 0 and 2 none; the stars halve every 30 days
    assert torch.allclose(model.similarity, torch.tensor([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]]).double())
    assert model.affinity.tolist() == [[1, 1, 0], [0, 5, 3]]
    assert model.score(torch.tensor([0]))[0].tolist() == pytest.approx([1.5, 1.5, 0.5])


def test_sar_is_reproduced_to_all_decimals():
    rows = pd.read_csv(ROOT / "results" / "ch20_evidence.csv").set_index(["protocol", "model"]).sort_index()
    theirs = pd.DataFrame(published.rows()).query("model == 'SAR'")
    assert set(theirs["source"]) == {"recommenders", "recommenders 2026"}
    for row in theirs.itertuples():
        assert rows.loc[(row.source, "SAR, rebuilt"), row.measure].item() == pytest.approx(row.value, abs=1e-9)
