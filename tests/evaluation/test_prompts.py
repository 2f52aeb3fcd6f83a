"""Answers of a language model are judged as lists are; here the answers are made up by hand."""

from pathlib import Path

import pytest

LABELS = ["C01", "C02", "C03"]
ASKED = [
    {"id": "rank-0", "kind": "rank", "text": "a", "right": "C02", "labels": LABELS, "ease": ["C01", "C02", "C03"]},
    {"id": "rank-1", "kind": "rank", "text": "b", "right": "", "labels": LABELS, "ease": LABELS},
    {"id": "rank-2", "kind": "rank", "text": "c", "right": "C03", "labels": LABELS, "ease": ["C03", "C01", "C02"]},
    {"id": "film-7", "kind": "film", "text": "d", "right": "Twelve Monkeys (1995)"},
    {"id": "next-0", "kind": "next", "text": "e", "right": "64"},
]
ANSWERS = [
    {"id": "rank-0", "answer": ["C02", "C99", "C02", "C01"]},
    {"id": "rank-1", "answer": ["C01"]},
    {"id": "film-7", "answer": "twelve monkeys 1995"},
    {"id": "next-0", "answer": "65"},
]


@pytest.fixture
def prompts(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "experiments")
    import ch19_prompts

    return ch19_prompts


@pytest.fixture
def meta(prompts):
    return {"model": "by hand", "date": "2026-01-01", "licence": "CC0", "prompts": prompts.hashed(ASKED)}


def test_answers_by_hand(prompts, meta):
    rank, ease, film, follows = prompts.judged(ASKED, [meta, *ANSWERS]).to_dict("records")
    assert (rank["asked"], rank["answered"], rank["struck out"]) == (3, 2, 2)
    assert rank["hit_rate@10"] == rank["ndcg@10"] == pytest.approx(1 / 3)
    assert ease["hit_rate@10"] == pytest.approx(2 / 3)
    assert ease["ndcg@10"] == pytest.approx((0.6309298 + 1) / 3)
    assert (film["right"], follows["right"]) == (1, 0)


def test_answers_that_cannot_be_judged(prompts, meta):
    with pytest.raises(SystemExit, match="licence"):
        prompts.judged(ASKED, [meta | {"licence": " "}, *ANSWERS])
    with pytest.raises(SystemExit, match="other questions"):
        prompts.judged(ASKED[1:], [meta, *ANSWERS])
    with pytest.raises(SystemExit, match="twice"):
        prompts.judged(ASKED, [meta, *ANSWERS, ANSWERS[0]])
    with pytest.raises(SystemExit, match="no question"):
        prompts.judged(ASKED, [meta, {"id": "rank-9", "answer": []}])
