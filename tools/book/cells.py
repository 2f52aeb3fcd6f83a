"""How a notebook reads as a page: what is folded, what becomes a box, what stands under its title and its figures.

All of it is read from the notebook as it is, so that Colab shows plain Markdown, and nothing of a page's marks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode

from tools.notebooks.student import TELLS
from tools.notebooks.tables import dress, set_signs, signs

IMPORTS = 2  # the place of the cell that sets a notebook up
SETUP, FIGURE, SAID = "Setup", "How this figure is drawn", "How this is computed"
CHECK = "Check your answer"
TAGGED = {"repair": ("hide-cell", "Show a repair"), "came-out": ("hide-output", "Show what came out")}
CAME_OUT = {FIGURE: "Show the figure", SAID: "Show it in words"}
CODE = [  # what the code of a cell is for, and the line that stands for it
    (re.compile(r"^(figure\(|alt = |diagram\(|demo\()", re.MULTILINE), FIGURE),
    (re.compile(r"^say\(", re.MULTILINE), SAID),
]
CALLOUTS = {  # bold leads of a notebook's paragraphs, and the class of the box that a page makes of each
    "Predict before you run": "predict",
    "By hand": "by-hand",
    "What to see": "see",
    "Change this": "change",
    "Try it": "change",
    "Clinic": "clinic",  # of a notebook's "**Find and fix.**" and the like, see FIND
}
LEAD = re.compile(rf"\*\*({'|'.join(CALLOUTS)})\.\*\*\s*")
NEXT = re.compile(rf"(?={LEAD.pattern})")
IN_TITLE = re.compile(r"(?m)^(#+ [\d. ]*)(Clinic)\b")
FIND = re.compile(r"\*\*Find(?!:)[^*]*\*\*")  # with a colon it is the first of the steps
STEP = re.compile(r"\s*(?=\*\*(?:Find:|(?:Explain|Fix|Measure)[^*]{0,14}[:.])\*\*)")
SUMMARY = re.compile(r"<details>(?=<summary>What is wrong)")
SECTION = re.compile(r"^## ", re.MULTILINE)
BADGE = re.compile(r"^\[!\[Open in Colab\].*$", re.MULTILINE)
TIME = re.compile(r" ?Reading takes about (\d+) minutes, the exercises (\d+) more\.")
OPEN, NO_GUESS = "is not answered yet", re.compile(r"(?m)^(.+): (?:(.+) \(no guess yet\)|no guess yet; (.+))\n?")
SPECIAL = re.compile(r"([\\`*_$<>\[\]{}#|~])")
WIDE = 600  # pixels: a picture of this width or more fills the page
FINE = re.compile(r"subplots\(\d, ?[2-9]|size=(?:9|10)\b")  # plots whose words a phone cannot show at its own width


# --- before a page is parsed -------------------------------------------------------------------------------------


def fold(text: str, links: Sequence[str] = (), needs: str = "") -> str:
    """A notebook's JSON as a page has it: one folded line before the first section, boxes, and folded code.

    ``links`` (deck, solutions) and ``needs`` stand beside the Colab badge, as Markdown.
    """
    notebook = json.loads(text)
    sections = (place for place, cell in enumerate(notebook["cells"]) if SECTION.search("".join(cell["source"])))
    opening = notebook["cells"][: next(sections, None)]
    gather_setup(opening[IMPORTS:])
    glance(opening, links, needs)
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = boxed(source)
            continue
        if cell["cell_type"] != "code":
            continue
        answered = not any(OPEN in "".join(output.get("text", "")) for output in cell.get("outputs", []))
        cell["outputs"] = [shown for output in cell.get("outputs", []) for shown in as_prose(output)]
        tags = cell["metadata"].setdefault("tags", [])
        if "remove-cell" in tags:
            continue
        if "predict" in tags:
            tags.append("remove-input")  # a page cannot take a guess: the question and its choices are enough
            continue
        kind = next((line for pattern, line in CODE if pattern.search(source)), None if answered else CHECK)
        line = SETUP if cell["metadata"].get("setup") else kind or (SAID if "hide-input" in tags else None)
        how, prompt = next((TAGGED[tag] for tag in TAGGED if tag in tags), ("hide-input", line))
        if not prompt:
            continue
        if "came-out" in tags:
            prompt = CAME_OUT.get(kind, prompt)
            if kind in (FIGURE, SAID) or TELLS.search(source) or re.fullmatch(r"asked\.outcome\(.*\)", source.strip()):
                how = "hide-cell"  # the code, too, says what comes out, or nothing else
        tags[:] = [tag for tag in tags if tag != "hide-input"] + [how]
        cell["metadata"]["mystnb"] = {"code_prompt_show": prompt, "code_prompt_hide": prompt}
        cell["metadata"] |= {"code_line": kind or SAID, "fine": bool(FINE.search(source))}
    return json.dumps(notebook)


def glance(opening: list[dict[str, Any]], links: Sequence[str], needs: str) -> None:
    """Make the badge a row: Colab, deck, solutions, the time that the text names, what the chapter builds on."""
    opening = [cell for cell in opening if cell["cell_type"] == "markdown"]
    said = next((found for cell in opening if (found := TIME.search("".join(cell["source"])))), None)
    time = [f"{said[1]} minutes to read, {said[2]} for the exercises"] if said else []
    beside = "".join(f"\n- {each}" for each in [*links, *time, needs] if each)
    for cell in opening:
        source = TIME.sub("", "".join(cell["source"]))
        cell["source"] = BADGE.sub(lambda badge: f"{{.glance}}\n- {badge[0]}{beside}", source)


def gather_setup(opening: list[dict[str, Any]]) -> None:
    """Make one cell of all code before the first section; what checks an answer there is for the notebook alone."""
    setup = None
    for cell in opening:
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        if setup is None:
            setup = cell
            cell["metadata"]["setup"] = True
        elif "remove-input" not in cell["metadata"].get("tags", []) and not source.startswith("say("):
            if not source.startswith("check("):
                setup["source"] = "".join(setup["source"]) + "\n\n" + source
            cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "remove-cell"]


def as_prose(output: dict[str, Any]) -> list[dict[str, Any]]:
    """An output of a page: guesses and outcomes as sentences, unanswered exercises not at all."""
    if said := output.get("data", {}).get("text/markdown"):
        output["data"]["text/markdown"] = boxed("".join(said))
    if 'class="dataframe"' in (html := "".join(output.get("data", {}).get("text/html", ""))):
        soup = BeautifulSoup(html, "html.parser")
        for table in soup.find_all("table"):
            dress(table)
        set_signs(soup)
        output["data"]["text/html"] = str(soup)
    if output["output_type"] != "stream":
        return [output]
    text = "".join(output["text"])
    sentences = [
        f"{{.guess}}\n**Your guess.** {plain(what)}: {plain(asked)}."
        if asked
        else f"{{.outcome}}\n{plain(what)}: **{plain(came)}**."
        for what, came, asked in NO_GUESS.findall(text)
    ]
    rest = "".join(line for line in NO_GUESS.sub("", text).splitlines(keepends=True) if OPEN not in line)
    said = {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": "\n\n".join(sentences)}}
    return ([output | {"text": rest}] if rest.strip() else []) + ([said] if sentences else [])


def plain(text: str) -> str:
    """Printed words as Markdown that shows them as they are."""
    return SPECIAL.sub(r"\\\1", text)


def boxed(text: str) -> str:
    """Markdown whose paragraphs with a known lead are boxes; a lead without words has the rest of its cell.

    The steps of a clinic's answer become paragraphs of their own.
    """
    text = IN_TITLE.sub(r"\1[\2]{.clinic}", text)
    blocks, made, inside = SUMMARY.sub('<details class="clinic">', text).split("\n\n"), [], False
    for number, block in enumerate(blocks):
        more: list[str] = []
        inside = (inside or "<details" in block) and "</details>" not in block
        lead = None if inside else LEAD.search(block)
        if lead:
            name, before, words = lead[1], block[: lead.start()].strip(), block[lead.end() :]
            words, *more = map(str.strip, NEXT.split(words, maxsplit=1)[::2])
        elif not inside and FIND.search(block):
            name, before, words = "Clinic", "", block
        else:
            parts = [block] if block.startswith("- ") else filter(None, STEP.split(block))
            made += [f"{{.step}}\n{part}" if STEP.match(part) else part for part in parts]
            continue
        later = [] if words else blocks[number + 1 :]
        inner = "\n\n".join([words, *later]).strip()
        made += [*filter(None, [before]), f":::{{admonition}} {name}\n:class: {CALLOUTS[name]}\n\n{inner}\n:::"]
        made += map(boxed, more)
        if later:
            break
    return "\n\n".join(made)


# --- after it is parsed -------------------------------------------------------------------------------------------


def arrange(doctree: nodes.document) -> None:
    """Number the figures of a page, and put the code that draws or computes below what it shows."""
    title = next(doctree.findall(nodes.title), None)
    chapter = re.match(r"\d+\.", title.astext() if title else "")
    number = 0
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        for image in list(cell.findall(nodes.image)):
            number += 1
            fine = ["fine"] * cell.get("cell_metadata", {}).get("fine", False)
            caption(image, f"{chapter[0] if chapter else ''}{number}", fine)
        if line := cell.get("cell_metadata", {}).get("code_line"):
            code_below(cell, line)


def set_words(doctree: nodes.document) -> None:
    """Set the signs of a page's sentences: minus, and per cent beside its number."""
    for text in list(doctree.findall(nodes.Text)):
        verbatim = isinstance(text.parent, (nodes.literal, nodes.FixedTextElement, nodes.raw, nodes.math))
        if not verbatim and (said := signs(text)) != text:
            text.parent.replace(text, nodes.Text(said))


def caption(image: nodes.image, number: str, classes: Sequence[str] = ()) -> None:
    """Make a numbered figure of an image: its alt text is what all read, the image itself has the short name."""
    name = f"Figure {number}"
    words = nodes.caption("", "", nodes.strong("", f"{name}."), nodes.Text(f" {image['alt']}"))
    figure = nodes.figure("", ids=[f"figure-{number.replace('.', '-')}"])
    image.replace_self(figure)
    image["alt"] = name
    if float(str(image.get("width", WIDE)).removesuffix("px")) >= WIDE:
        image["width"] = "100%"
    figure += [nodes.container("", image, classes=["picture", *classes]), words]


def code_below(cell: nodes.container, line: str) -> None:
    """Move a cell's folded code behind its output; where all of a cell is folded, the code has a fold of its own."""
    if not cell.children or not isinstance(outer := cell.children[0], HideCodeCellNode):
        return
    if len(cell.children) > 1:
        cell.children = [*cell.children[1:], outer]
    elif len(outer.children) > 1:
        inner = HideCodeCellNode(prompt_show=line, prompt_hide=line, classes=["above-input"])
        inner += outer.children[0]
        outer.children = [*outer.children[1:], inner]
