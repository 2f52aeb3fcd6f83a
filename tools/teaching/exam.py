"""A printable exam and its key, drawn from the question bank; the same seed gives the same exam.

    python -m tools.teaching.exam --chapters 1-5 --questions 12 --seed 7 [--pdf] [FOLDER]

writes ``exam_7.html`` for the room and ``key_7.html`` for you into FOLDER (default: _build/teaching). Neither needs
another file; print them from a browser, or with ``--pdf`` by Chromium. The exam holds no answer, hidden or not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

from tools.book import typeface
from tools.slides import build, render
from tools.slides.cells import markdown_html
from tools.teaching import bank
from tools.teaching.bank import Question
from tools.teaching.export import OUTPUT

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
{typeface}
body {{ font: 10.5pt/1.45 var(--text-face); max-width: 42em; margin: 2em auto; padding: 0 1em; color: #000; }}
h1 {{ font-size: 16pt; }}
.who {{ display: flex; gap: 2em; margin: 1.5em 0; }}
.who span {{ flex: 1; border-bottom: 1px solid #000; padding-bottom: 0.2em; }}
section {{ break-inside: avoid; margin: 1.4em 0; }}
ol {{ list-style: upper-alpha; margin: 0.4em 0; }}
p {{ margin: 0.4em 0; }}
.blank {{ border-bottom: 1px solid #000; display: inline-block; width: 8em; }}
mjx-container [stroke-width="0"] {{ stroke: none; }} /* on paper a line of no width has one */
@page {{ size: A4; margin: 2cm; }}
@media print {{ body {{ margin: 0 auto; }} }}
</style>
<script>
window.MathJax = {{
  tex: {{ inlineMath: [["$", "$"]], processEscapes: true }},
  options: {{ enableMenu: false }},
  startup: {{ ready() {{
    MathJax.startup.defaultReady();
    MathJax.startup.promise.then(() => {{ document.documentElement.dataset.ready = "true"; }});
  }} }},
}};
</script>
<script>{mathjax}</script>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def exam(questions: Sequence[Question], seed: int) -> str:
    """The sheet for the room: questions with their choices in an order of the seed, a line where a number is asked."""
    numbers = sum(question.number is not None for question in questions)
    parts = ['<div class="who"><span>Name</span><span>Number</span></div>']
    parts += [
        f"<p>{len(questions)} questions, one point each. One choice is right where there are choices;"
        f" {numbers} ask for a number: a whole one exactly, any other to three decimals.</p>"
    ]
    for place, question in enumerate(questions, 1):
        order = question.shuffled(seed)[0] if question.choices else []
        listed = "".join(f"<li>{_html(text)}</li>" for text, _ in order)
        answer = f"<ol>{listed}</ol>" if listed else '<p>Answer: <span class="blank">&nbsp;</span></p>'
        parts.append(f"<section>{_html(f'**{place}.** {question.ask}')}{answer}</section>")
    return _page(f"Exam {seed}", parts)


def key(questions: Sequence[Question], seed: int) -> str:
    """The key: each answer with its reason, and where the wrong ones come from."""
    parts = []
    for place, question in enumerate(questions, 1):
        if question.choices:
            order, right = question.shuffled(seed)
            said = f"**{'ABCDEFGH'[right]}.** {order[right][0]}"
            wrong = [f"{letter}: {says}" for letter, (_, says) in zip("ABCDEFGH", order, strict=False) if says]
        else:
            said = f"**{question.number:g}**, within {question.within:g}."
            wrong = [f"{number:g}: {says}" for number, says in question.slips]
        listed = "".join(f"<li>{_html(each)}</li>" for each in wrong)
        head = f"{place} ({question.name}). {said}"
        parts.append(f"<section>{_html(head)}{_html(question.why)}<ul>{listed}</ul></section>")
    return _page(f"Key of exam {seed}", parts)


def _page(title: str, parts: Sequence[str]) -> str:
    style = typeface.inlined_style()
    return PAGE.format(title=escape(title), body="\n".join(parts), mathjax=render.mathjax(), typeface=style)


def _html(source: str) -> str:
    return markdown_html(source, "the question bank", bank.ROOT)


def write(folder: Path, questions: Sequence[Question], seed: int) -> list[Path]:
    """Write exam and key; return the two files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"exam_{seed}.html", folder / f"key_{seed}.html"]
    for file, text in zip(files, (exam(questions, seed), key(questions, seed)), strict=True):
        file.write_text(text, encoding="utf-8")
    return files


def as_pdf(files: Sequence[Path]) -> list[Path]:
    """Print pages with this machine's Chromium; return the PDF files beside them."""
    with build.browser() as chromium:
        page = chromium.new_page()
        for file in files:
            build.open_deck(page, file)
            page.pdf(path=file.with_suffix(".pdf"), prefer_css_page_size=True)
    return [file.with_suffix(".pdf") for file in files]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=OUTPUT, metavar="FOLDER")
    parser.add_argument("--chapters", default="all", help="such as 1-5,20 (default: all)")
    parser.add_argument("--questions", type=int, default=12, help="how many in all (default: 12)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another exam (default: 0)")
    parser.add_argument("--pdf", action="store_true", help="print both as PDF, too (needs Chromium)")
    arguments = parser.parse_args()
    chosen = bank.drawn(bank.parse(arguments.chapters), arguments.questions, arguments.seed)
    made = write(arguments.folder, chosen, arguments.seed)
    print(*made, *(as_pdf(made) if arguments.pdf else []), sep="\n")
