"""The question bank and the recap quizzes for a learning platform.

    python -m tools.teaching.export [--chapters 1-5] [FOLDER]  (default: all chapters, into _build/teaching)

``moodle.xml`` holds all of it, a category a chapter and a recap: *Question bank, Import, Moodle XML*. ``canvas/`` has a
quiz each, as QTI: *Settings, Import course content, QTI .zip file*. Each wrong choice comes with what led to it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tools.slides.cells import markdown_html
from tools.teaching import bank
from tools.teaching.bank import Question

OUTPUT = bank.ROOT / "_build" / "teaching"
NAME = "Recommender systems"


def quizzes(chapters: Sequence[int]) -> dict[str, list[Question]]:
    """The chapters' questions by the chapter's heading, then those of the recaps by theirs."""
    return {bank.title(chapter): bank.of_chapter(chapter) for chapter in chapters} | bank.recaps()


def moodle(groups: Mapping[str, Sequence[Question]]) -> str:
    """All questions as one Moodle XML file; a number has answers worth nothing for the slips that people make."""
    root = ElementTree.Element("quiz")
    for heading, questions in groups.items():
        category = ElementTree.SubElement(root, "question", type="category")
        _text(category, "category", f"$course$/top/{NAME}/{heading}")
        for question in questions:
            kind = "multichoice" if question.choices else "numerical"
            node = ElementTree.SubElement(root, "question", type=kind)
            _text(node, "name", question.name)
            _text(node, "questiontext", _html(question.ask), format="html")
            _text(node, "generalfeedback", _html(question.why), format="html")
            ElementTree.SubElement(node, "defaultgrade").text = "1"
            order, right = question.shuffled() if question.choices else ([], 0)
            if order:
                ElementTree.SubElement(node, "single").text = "true"
                ElementTree.SubElement(node, "shuffleanswers").text = "0" if question.fixed else "1"
            for place, (text, says) in enumerate(order):
                _answer(node, 100 * (place == right), _html(text), says, format="html")
            for place, (number, says) in enumerate(_numbers(question)):
                answer = _answer(node, 100 * (place == 0), f"{number:g}", says)
                ElementTree.SubElement(answer, "tolerance").text = f"{question.within:g}"
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _numbers(question: Question) -> list[tuple[float, str]]:
    return [] if question.number is None else [(question.number, ""), *question.slips]


def _answer(node: ElementTree.Element, fraction: int, text: str, says: str, **attributes: str) -> ElementTree.Element:
    answer = _text(node, "answer", text, fraction=str(fraction), **attributes)
    _text(answer, "feedback", _html(_sentence(says)), format="html")
    return answer


def _text(node: ElementTree.Element, tag: str, text: str, **attributes: str) -> ElementTree.Element:
    child = ElementTree.SubElement(node, tag, attributes)
    ElementTree.SubElement(child, "text").text = text
    return child


def _html(source: str) -> str:
    """Markdown as HTML, its formulas between the marks that Moodle's MathJax filter looks for."""
    html = markdown_html(source, "the question bank", bank.ROOT).strip()
    html = re.sub(r"(?<!\\)\$([^$]+)\$", r"\\(\1\\)", html)
    return html.removeprefix("<p>").removesuffix("</p>") if html.count("<p>") == 1 else html


def _sentence(says: str) -> str:
    """The mistake behind a wrong choice as a sentence."""
    return says[:1].upper() + says[1:] + "." * bool(says)


def canvas(heading: str, questions: Sequence[Question]) -> bytes:
    """One quiz as a QTI archive that Canvas imports; formulas become its own pictures of equations."""
    from text2qti.config import Config
    from text2qti.qti import QTI
    from text2qti.quiz import Quiz

    return QTI(Quiz(canvas_text(heading, questions), config=Config(), source_name=heading)).zip_bytes()


def canvas_text(heading: str, questions: Sequence[Question]) -> str:
    """One quiz in the notation of text2qti."""
    shuffle = str(not any(question.fixed for question in questions)).lower()
    lines = [f"Quiz title: {heading}", f"Shuffle answers: {shuffle}", ""]
    for place, question in enumerate(questions, 1):
        why = question.why
        if question.number is not None:
            why += "".join(f" {number:g}: {_sentence(says)}" for number, says in question.slips)
        lines += [f"Title: {question.name}", f"{place}. {_line(question.ask)}", f"... {_line(why)}"]
        order, right = question.shuffled() if question.choices else ([], 0)
        for number, (text, says) in enumerate(order):
            lines += [f"{'*' * (number == right)}{'abcdefgh'[number]}) {_line(text)}"]
            lines += [f"... {_line(_sentence(says))}"] * bool(says)
        if question.number is not None:
            lines.append(f"=   {question.number:g} +- {question.within:g}")
        lines.append("")
    return "\n".join(lines)


def _line(text: str) -> str:
    return " ".join(text.split())


def write(folder: Path, chapters: Sequence[int]) -> list[Path]:
    """Write both exports; return the files."""
    groups = quizzes(chapters)
    (folder / "canvas").mkdir(parents=True, exist_ok=True)
    written = [folder / "moodle.xml"]
    written[0].write_text(moodle(groups), encoding="utf-8")
    for heading, questions in groups.items():
        written.append(folder / "canvas" / (re.sub(r"\W+", "_", heading).strip("_").lower() + ".zip"))
        written[-1].write_bytes(canvas(heading, questions))
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=OUTPUT, metavar="FOLDER")
    parser.add_argument("--chapters", default="all", help="such as 1-5,20 (default: all)")
    arguments = parser.parse_args()
    files = write(arguments.folder, bank.parse(arguments.chapters))
    print(f"{len(files)} files: {arguments.folder}")
