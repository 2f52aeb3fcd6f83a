"""How would one ask a language model what comes next, and judge what it says? Chapter 19 tells; no model was asked.

    python experiments/ch19_prompts.py                       results/ch19_prompts.csv: what any answer stands beside
    python experiments/ch19_prompts.py write prompts.jsonl   all questions, a line each
    python experiments/ch19_prompts.py judge answers.jsonl   what answers are worth

Three hundred users of chapter 18's test, and two kinds of question beside:

- ``rank``: titles of the user's latest twenty films in their order, and thirty candidates in random order, each with a
label. They are the best of EASE with decay, which never saw the test film; the film need not be among them.
- ``film``: the title of a film by its number in MovieLens-100K. Titles are public, these numbers mean nothing
elsewhere: who knows them has read the data set.
- ``next``: the number of the film in a user's next line of the file, after ten of them.

Questions hold what MovieLens lets nobody pass on: write them, do not publish them. The table has their hash. Answers
may be published: the first line says ``model``, ``date``, ``licence`` and ``prompts``, the hash; each other line has
``id`` and ``answer``: a list of labels, best first, or a text. A label that was no candidate, and one named again, is
struck out and counted; a question without an answer is a miss.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from _sequences import made
from _tables import movielens, write

from course_utils.data import MovieLens, splits
from course_utils.evaluation import metrics, recommend

USERS, HISTORY, CANDIDATES, PROBES = 300, 20, 30, 100
RANK = """A person watched these films, oldest first:
{history}
Which of the following will the person watch next? Give the labels of the ten most likely, the likeliest first,
as a JSON list.
{candidates}"""
FILM = """In the data set MovieLens-100K, file u.item, what is the title of the film with the id {film}?
Title and year, no more."""
NEXT = """These are successive lines (user, film) of one user, by time, of the data set MovieLens-100K, file u.data:
{lines}
Which film id has the next line of this user? The number, no more."""
META = ("model", "date", "licence", "prompts")


def questions(data: MovieLens) -> list[dict]:
    """All questions, with what is right: ``id kind text right``, of ``rank`` also ``labels`` and the order of EASE."""
    past, last = splits.leave_last_out(data.ratings)
    train, test = data.interactions(past), data.interactions(last)
    draw = np.random.default_rng(0)
    asked = np.sort(draw.permutation(len(test))[:USERS])
    users, targets = test.users[asked], test.items[asked]
    best, _ = recommend(made("EASE, decay").fit(train), users, CANDIDATES, exclude=train)
    title, ids = data.items.title.to_numpy(), data.items.item_id.to_numpy()
    age, found = train.age(), []
    for user, target, films in zip(users.tolist(), targets.tolist(), best.tolist(), strict=True):
        mine = ((train.users == user) & (age < HISTORY)).nonzero()[:, 0]
        mine = train.items[mine[age[mine].argsort(descending=True)]].tolist()
        shown = [sorted(films, key=lambda film: (title[film], film))[place] for place in draw.permutation(len(films))]
        labels = {f"C{place:02}": film for place, film in enumerate(shown, start=1)}
        history = "\n".join(title[film] for film in mine)
        text = RANK.format(history=history, candidates="\n".join(f"{c}: {title[f]}" for c, f in labels.items()))
        of = {film: label for label, film in labels.items()}
        more = {"labels": list(labels), "ease": [of[film] for film in films]}
        found.append({"id": f"rank-{user}", "kind": "rank", "text": text, "right": of.get(target, ""), **more})
        if len(found) <= PROBES:
            lines = "\n".join(f"{test.user_ids[user]}\t{ids[film]}" for film in mine[-10:])
            row = {"id": f"next-{user}", "kind": "next", "text": NEXT.format(lines=lines), "right": str(ids[target])}
            found.append(row)
    for film in np.sort(draw.permutation(len(ids))[:PROBES]).tolist():
        row = {"id": f"film-{film}", "kind": "film", "text": FILM.format(film=ids[film]), "right": title[film]}
        found.append(row)
    return sorted(found, key=lambda row: (row["kind"] != "rank", row["kind"]))  # stable


def hashed(asked: list[dict]) -> str:
    """Sixteen digits that name the questions."""
    return hashlib.sha256(json.dumps([[row["id"], row["text"]] for row in asked]).encode()).hexdigest()[:16]


def judged(asked: list[dict], lines: list[dict]) -> pd.DataFrame:
    """A row a kind of question: how many were asked and answered, labels struck out, hit rate and NDCG at 10, or right.

    ``lines`` are the answers as the head of this file says. For ``rank`` the order of EASE stands beside.
    """
    meta, *rest = lines
    if missing := [name for name in META if not str(meta.get(name, "")).strip()]:
        raise SystemExit(f"the first line does not say: {', '.join(missing)}")
    if meta["prompts"] != hashed(asked):
        raise SystemExit(f"answers to other questions: hash {meta['prompts']}, not {hashed(asked)}")
    answers = {line["id"]: line["answer"] for line in rest}
    known = {row["id"] for row in asked}
    if len(answers) < len(rest) or not known.issuperset(answers):
        raise SystemExit("an answer twice, or to no question")
    rows = []
    for kind in ("rank", "film", "next"):
        mine = [row for row in asked if row["kind"] == kind]
        row = {"kind": kind, "asked": len(mine), "answered": sum(one["id"] in answers for one in mine)}
        if kind != "rank":
            said = [_plain(str(answers.get(one["id"], ""))) == _plain(one["right"]) for one in mine]
            rows.append(row | {"right": sum(said) / len(mine)})
            continue
        ranked = [_valid(answers.get(one["id"], []), one["labels"]) for one in mine]
        row["struck out"] = sum(
            len(answers.get(one["id"], [])) - len(lst) for one, lst in zip(mine, ranked, strict=True)
        )
        rows.append(row | _measures(mine, ranked))
        rows.append({"kind": "rank, EASE", "asked": len(mine), **_measures(mine, [one["ease"] for one in mine])})
    return pd.DataFrame(rows)


def _valid(answer: list, labels: list[str]) -> list[str]:
    """Candidates of an answer, each once."""
    return list(dict.fromkeys(label for label in answer if label in labels))


def _measures(asked: list[dict], lists: list[list[str]]) -> dict[str, float]:
    """Hit rate and NDCG at 10."""
    place = {label: number for number, label in enumerate(asked[0]["labels"])}
    codes = torch.tensor([([place[label] for label in lst[:10]] + [-1] * 10)[:10] for lst in lists])
    relevant = torch.zeros(len(asked), len(place) + 1, dtype=torch.bool)  # the last stands for a film not among them
    relevant[range(len(asked)), [place.get(row["right"], len(place)) for row in asked]] = True
    found = {"hit_rate@10": metrics.hit_rate_at_k, "ndcg@10": metrics.ndcg_at_k}
    return {name: measure(codes, relevant, 10).mean().item() for name, measure in found.items()}


def _plain(text: str) -> str:
    return "".join(each for each in text.lower() if each.isalnum())


def main(wanted: list[str]) -> None:
    """Write the table, the questions, or what answers are worth."""
    asked = questions(movielens())
    ranks = [row for row in asked if row["kind"] == "rank"]
    if wanted[:1] == ["write"]:
        lines = [json.dumps({name: row[name] for name in ("id", "text")}, ensure_ascii=False) for row in asked]
        Path(wanted[1]).write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{len(asked)} questions, hash {hashed(asked)}")
    elif wanted[:1] == ["judge"]:
        text = Path(wanted[1]).read_text(encoding="utf-8")
        print(judged(asked, [json.loads(line) for line in text.splitlines() if line]).to_string(index=False))
    else:
        row = {"prompts": hashed(asked), "rank": len(ranks), "film": PROBES, "next": PROBES, "candidates": CANDIDATES}
        row["film among candidates"] = np.mean([bool(each["right"]) for each in ranks])
        row |= {f"EASE, {name}": value for name, value in _measures(ranks, [each["ease"] for each in ranks]).items()}
        write("ch19_prompts", pd.DataFrame([row]), keys=["prompts"])


if __name__ == "__main__":
    main(sys.argv[1:])
