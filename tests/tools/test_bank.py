"""The question bank: its questions are sound, its numbers computed, its exports readable, its exams without answers."""

import io
import re
import zipfile
from collections import Counter
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import torch
from bs4 import BeautifulSoup
from torch.nn import functional as F

from tools.book import sections
from tools.teaching import bank, exam, export

CHAPTERS = bank.chapters()
BANK = {chapter: bank.of_chapter(chapter) for chapter in CHAPTERS}
ALL = [question for questions in BANK.values() for question in questions]
CHOSEN = [question for question in ALL if question.choices]


def test_every_chapter_has_eight_questions_each_about_a_section_of_it():
    assert set(CHAPTERS) == set(sections.find_chapters(bank.ROOT))
    assert min(map(len, BANK.values())) >= 8
    known = sections.read_sections(bank.ROOT)
    for question in ALL:
        section = re.search(r"\(§([\d.]+)\)$", question.why)[1]
        assert section in known, (question.name, section)
        assert int(section.partition(".")[0]) == int(question.name.partition("-")[0]), question.name


def test_a_question_has_one_right_answer_and_every_other_one_its_mistake():
    for question in ALL:
        assert bool(question.choices) == (question.number is None), question.name
        wrong = [says for _, says in question.slips or question.choices[1:]]
        assert len(wrong) >= 3, question.name
        assert all(wrong), question.name
        assert len({text.strip(" .").lower() for text, _ in question.choices}) == len(question.choices), question.name
        for number, _ in question.slips:
            assert abs(number - question.number) > 2 * question.within, (question.name, number)


def test_every_number_is_what_its_code_computes():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        for question in [question for question in ALL if question.number is not None]:
            from course_utils.evaluation import metrics

            room = {"np": np, "pd": pd, "torch": torch, "F": F, "metrics": metrics}
            exec(question.compute, room)
            assert abs(float(room["answer"]) - question.number) <= question.within / 2, (question.name, room["answer"])
    finally:
        torch.set_default_dtype(before)


def test_neither_length_nor_place_tells_the_right_choice():
    longest = [max(q.choices, key=lambda choice: len(choice[0])) == q.choices[q.right] for q in CHOSEN]
    shortest = [min(q.choices, key=lambda choice: len(choice[0])) == q.choices[q.right] for q in CHOSEN]
    assert max(np.mean(longest), np.mean(shortest)) < 0.4
    places = Counter(q.shuffled(0)[1] for q in CHOSEN if len(q.choices) == 4)
    assert min(places.values()) > 0.15 * sum(places.values())


def test_no_page_has_a_question_of_the_bank():
    pages = [*bank.ROOT.glob("notebooks/**/*.ipynb"), *bank.ROOT.glob("book/*.md"), bank.ROOT / "index.md"]
    published = " ".join(" ".join(path.read_text(encoding="utf-8").split()) for path in pages)
    assert [question.name for question in ALL if " ".join(question.ask.split())[:60] in published] == []


def test_the_recaps_are_read_as_they_stand():
    found = bank.recaps()
    for title, questions in found.items():
        (page,) = [p for p in bank.ROOT.glob("book/recap_*.md") if p.read_text().startswith(f"# {title}\n")]
        assert len(questions) == len(re.findall(r"(?m)^\*\*\d+\.\*\* ", page.read_text())), title
        assert not any("glue" in question.why or len(question.choices) < 3 for question in questions)
    first = found["Recap: Collaborative filtering"][0]
    assert first.choices[first.right][0] == "Positive"
    assert first.shuffled(3) == (list(first.choices), 1)
    last = found["Recap: Collaborative filtering"][-1]
    assert last.why.startswith("with 32 factors: 25%.")


def test_moodle_reads_one_right_answer_a_question():
    groups = export.quizzes(CHAPTERS[:2])
    root = ElementTree.fromstring(export.moodle(groups))
    nodes = [node for node in root if node.get("type") != "category"]
    questions = [question for each in groups.values() for question in each]
    assert [node.findtext("name/text") for node in nodes] == [question.name for question in questions]
    for node, question in zip(nodes, questions, strict=True):
        worth = {answer.findtext("text"): float(answer.get("fraction")) for answer in node.findall("answer")}
        assert sorted(worth.values()) == [0.0] * (len(worth) - 1) + [100.0], question.name
        best = max(worth, key=worth.get)
        if question.choices:
            assert best == export._html(question.choices[question.right][0])
        else:
            assert float(best) == question.number
            assert float(node.findtext("answer/tolerance")) == question.within
    assert export._html("a $k$") == r"a \(k\)"


def words(text):
    return re.findall(r"[A-Za-z\d]+", text)


def qti(name, questions):
    """The items of an archive, as Canvas reads them."""
    archive = zipfile.ZipFile(io.BytesIO(export.canvas(name, questions)))
    trees = [ElementTree.fromstring(archive.read(file)) for file in archive.namelist() if file.endswith(".xml")]
    return [node for tree in trees for node in tree.iter() if node.tag.endswith("}item")]


def test_canvas_reads_one_right_answer_a_question():
    pytest.importorskip("text2qti")
    for chapter in CHAPTERS[::6]:
        items = qti(bank.title(chapter), BANK[chapter])
        assert [item.get("title") for item in items] == [question.name for question in BANK[chapter]]
        for item, question in zip(items, BANK[chapter], strict=True):
            full = [n for n in item.iter() if n.tag.endswith("}setvar") and n.text == "100"]
            assert len(full) == 1, question.name
            if question.choices:
                texts = {
                    n.get("ident"): "".join(n.itertext()) for n in item.iter() if n.tag.endswith("}response_label")
                }
                rules = [n for n in item.iter() if n.tag.endswith("}respcondition") and full[0] in list(n.iter())]
                (right,) = [n.text for n in rules[0].iter() if n.tag.endswith("}varequal")]
                plain = BeautifulSoup(texts[right], "html.parser").text
                assert words(plain)[:3] == words(question.choices[question.right][0])[:3]


def test_an_exam_comes_from_its_seed_and_holds_no_answer():
    questions = bank.drawn(range(1, 6), 12, seed=7)
    assert questions == bank.drawn(range(1, 6), 12, seed=7) != bank.drawn(range(1, 6), 12, seed=8)
    assert set(Counter(question.name[:2] for question in questions).values()) <= {2, 3}  # evenly dealt
    sheet, key = exam.exam(questions, 7), exam.key(questions, 7)
    assert (sheet, key) == (exam.exam(questions, 7), exam.key(questions, 7))
    assert sheet != exam.exam(questions, 8)
    body = sheet.partition("<body>")[2]
    for question in questions:
        secret = [question.why, *(says for _, says in question.slips or question.choices if says)]
        assert not any(each in body for each in secret), question.name
        assert question.name not in body
        assert question.compute[:20] not in body or not question.compute
    blocks = BeautifulSoup(body, "html.parser").find_all("section")
    answers = BeautifulSoup(key.partition("<body>")[2], "html.parser").find_all("section")
    for question, block, answer in zip(questions, blocks, answers, strict=True):
        given = answer.strong.text
        if question.choices:
            chosen = block.find_all("li")["ABCDEFGH".index(given[0])].decode_contents().strip()
            assert chosen == exam._html(question.choices[question.right][0]).strip()
        else:
            assert float(given) == question.number
            assert not block.find_all("li")


def test_chapters_are_asked_for_by_ranges_and_unknown_ones_are_named():
    assert bank.parse("1-3,20") == [1, 2, 3, 20]
    assert bank.parse("all") == CHAPTERS
    with pytest.raises(SystemExit, match=r"no chapter \[99\]"):
        bank.parse("99")
    with pytest.raises(SystemExit, match="100 questions are asked for, these chapters have 10"):
        bank.drawn([0], 100, seed=0)
