"""The rules that every notebook keeps, each a small function with one clear message.

python -m tools.notebooks.rules [NOTEBOOK ...] -> one line a fault; warnings do not count

A rule takes a :class:`Page` and yields ``(cell number or None, what is wrong and what to do)``. Cells are counted
from 1. ``tests/book/test_notebook_rules.py`` breaks a good notebook once for each rule.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

from nbformat import NotebookNode

from tools.book.sections import planned_chapters, read_sections
from tools.notebooks import execute, knobs, live
from tools.notebooks import prose as words
from tools.notebooks.prose import prose, sentences, without_code
from tools.project import address
from tools.slides.deck import KEYS, TAGS, TYPES

ROOT = Path(__file__).resolve().parents[2]
MAX_LINES, ABOUT_LINES = 15, 12
MAX_BYTES = 1_000_000
PICTURES = ("image/png", "image/svg+xml")
FIGURE_WIDTH, LEAST_TYPE = 7.2, 9  # inches, one for all; points: smaller words are lost on a phone
HIDING = {"remove-cell", "remove-input", "hide-input", "hide-output", "hide-cell"}
READING = {"predict", "came-out", "repair"}  # what the reader answers, and what is folded until she has
KNOWN_TAGS = {*HIDING, *READING, "raises-exception", "moves", *TAGS}  # moves: see stability.py
SECTIONS = {"prerequisites": r"prerequisites|before you start", "exercises": r"exercises?", "recap": r"recap"}
TIMING = re.compile(r"%%?time(it)?\b|\btimeit\b|perf_counter|process_time|\btime\.(time|monotonic)\(")
MYST = re.compile(r"^\s*(```+|~~~+)\{|^\s*:::|\{[a-z][\w:+.-]*\}`|^\([\w-]+\)=\s*$|\{\{.+?\}\}", re.MULTILINE)
SCRIPT = re.compile(r"(?i)<\s*(script|style|iframe|object|embed|link)\b|\bon(click|load|error)\s*=|javascript:")
REMOTE = re.compile(
    r"(?i)<\s*(script|link|iframe|object|embed|form|meta|base)\b"
    r"|(?:\b(?:src|srcset|data|action)\s*=|xlink:href\s*=|url\(|@import)\s*[\"']?\s*(?:\w+:)?//"
)
LOCAL = re.compile(
    r"(?<![\w.:/])/(?:home|root|tmp|work|usr|var|opt|content|Users|private|mnt)/\w|\b[A-Z]:\\\w|\b0x[0-9a-f]{6,}"
)


@dataclass(frozen=True)
class Page:
    """A notebook, where it lies, and the project around it."""

    path: Path
    root: Path = ROOT

    @cached_property
    def notebook(self) -> NotebookNode:
        """The notebook's content."""
        return execute.read(self.path)

    @property
    def name(self) -> str:
        """Path from the root, as in a link."""
        return self.path.relative_to(self.root).as_posix()

    @property
    def mend(self) -> str:
        """What mends a notebook that did not run, or that another tool wrote."""
        return f"run python -m tools.notebooks.execute {self.name}"

    @cached_property
    def works(self) -> words.Works:
        """What ``references.bib`` holds."""
        path = self.root / "references.bib"
        return words.read_works(path.read_text(encoding="utf-8") if path.exists() else "")

    @cached_property
    def facts(self) -> list[Decimal]:
        """Numbers that the first chapter says of the data, and that all others may repeat."""
        first = next((self.root / "notebooks").glob("00_*.ipynb"), None)
        return words.said_numbers(execute.read(first).cells) if first else []

    @cached_property
    def book(self) -> set[str]:
        """The numbers of all chapters and sections, those of the plan and of this page among them."""
        planned = planned_chapters(self.root) if (self.root / "book/parts.yml").exists() else set()
        own = {m[1] for _, _, text in self.headings if (m := re.match(r"(\d+(?:\.\d+)?)\.? ", text))}
        return planned | own | set(read_sections(self.root))

    @property
    def is_chapter(self) -> bool:
        """Whether it is a chapter: not a solution, not data-gated."""
        return self.path.parent.name == "notebooks"

    def cells(self, kind: str) -> Iterator[tuple[int, NotebookNode]]:
        """Numbered cells of one type."""
        return ((n, cell) for n, cell in enumerate(self.notebook.cells, 1) if cell.cell_type == kind)

    def outputs(self) -> Iterator[tuple[int, NotebookNode, NotebookNode]]:
        """Cell number, cell and output, for every output."""
        return ((n, cell, output) for n, cell in self.cells("code") for output in cell.outputs)

    @cached_property
    def headings(self) -> list[tuple[int, int, str]]:
        """Cell number, level and text of every heading."""
        found = []
        for number, cell in self.cells("markdown"):
            text = re.sub(r"(?ms)^(```+|~~~+).*?^\1", "", cell.source)
            found += [(number, len(m[1]), m[2]) for m in re.finditer(r"(?m)^(#{1,6})\s+(.+)$", text)]
        return found

    def has_section(self, pattern: str) -> bool:
        """Whether a heading, or the bold lead of a paragraph, has the words."""
        leads = [m[1] for _, cell in self.cells("markdown") for m in re.finditer(r"(?m)^\*\*(.+?)\*\*", cell.source)]
        texts = [*leads, *(text for _, _, text in self.headings)]
        return any(re.search(rf"\b({pattern})\b", text, re.IGNORECASE) for text in texts)


Fault = tuple[int | None, str]
RULES: dict[str, Callable[[Page], Iterator[Fault]]] = {}


def rule(function: Callable[[Page], Iterator[Fault]]) -> Callable[[Page], Iterator[Fault]]:
    """Register a rule under its function's name."""
    RULES[function.__name__] = function
    return function


@rule
def first_cell(page: Page) -> Iterator[Fault]:
    """Title (a chapter's with its number), one sentence, the Colab badge of this file at the release."""
    cell = page.notebook.cells[0]
    number = rf"{int(page.path.stem[:2])}\. " if page.is_chapter else ""
    if cell.cell_type != "markdown" or not re.match(rf"# {number}\S", cell.source):
        yield 1, f"starts without the title `# {number.replace(chr(92), '')}...`"
    badge = address.read(page.root).badge(page.name)
    if badge not in cell.source:
        yield 1, f"lacks the Colab badge of this file at the release: {badge}"
    rest = [text for text in re.split(r"\n\s*\n", cell.source) if not text.startswith(("# ", "[![Open in Colab]"))]
    if len(rest) != 1 or len(sentences(rest[0])) != 1 or not rest[0].rstrip().endswith("."):
        yield 1, "needs, between title and badge, one sentence on what the reader will be able to do"


@rule
def bootstrap(page: Page) -> Iterator[Fault]:
    """The second cell is the bootstrap cell, the same in every notebook, and nothing else runs a shell or a magic."""
    wanted = address.read(page.root).bootstrap
    if len(page.notebook.cells) < 2 or page.notebook.cells[1].source != wanted:
        yield 2, f"is not the bootstrap cell; it must read\n{wanted}"
    elif "remove-cell" not in page.notebook.cells[1].metadata.get("tags", []):
        yield 2, "needs the tag remove-cell: readers of the book have nothing to install"
    for number, cell in page.cells("code"):
        if re.search(r"(?m)^\s*[!%]|get_ipython|pip install", cell.source) and number != 2:
            yield number, "runs a shell or a magic command: the bootstrap cell alone may install"


@rule
def imports(page: Page) -> Iterator[Fault]:
    """The third cell holds imports and the call of ``setup``, nothing else."""
    cells = page.notebook.cells
    try:
        body = ast.parse(cells[2].source if len(cells) > 2 and cells[2].cell_type == "code" else "").body
    except SyntaxError:
        body = []
    work = [line for line in body if not isinstance(line, ast.Import | ast.ImportFrom)]
    if not body or any("setup(" not in ast.unparse(line) for line in work):
        yield 3, "must hold the imports and the call of course_utils.setup(), nothing else"


@rule
def execution_counts(page: Page) -> Iterator[Fault]:
    """Every code cell ran, in order."""
    for wanted, (number, cell) in enumerate(page.cells("code"), 1):
        if cell.execution_count != wanted:
            yield number, f"has execution count {cell.execution_count}, not {wanted}: {page.mend}"
            return


@rule
def normal_form(page: Page) -> Iterator[Fault]:
    """The file is what ``tools/notebooks/execute.py`` writes, byte for byte."""
    if execute.dumps(page.notebook) != page.path.read_text(encoding="utf-8"):
        yield None, f"is not in the normal form of committed notebooks: {page.mend}"


@rule
def plain_markdown(page: Page) -> Iterator[Fault]:
    """No MyST: it shows raw in Colab and on GitHub."""
    for number, cell in page.cells("markdown"):
        if found := MYST.search(cell.source):
            yield number, f"has MyST syntax, {found[0].strip()!r}: plain Markdown and $maths$ only"


@rule
def no_typed_results(page: Page) -> Iterator[Fault]:
    """A number in prose, slide or alt text is said by a cell, or is maths, code, a version or a citation."""
    cells = page.notebook.cells
    section = list(accumulate(bool(re.search(r"(?m)^## ", c.source)) for c in cells))  # 0 above the first
    whole = words.said_numbers(cells) + page.facts
    near = {
        n: words.said_numbers([c for c, m in zip(cells, section, strict=True) if m in (n - 1, n)])
        for n in range(1, section[-1])
    }
    first = next((n for n, level, text in page.headings if level == 2 and "Exercises" in text), len(cells) + 1)
    for number, text in prose(page.notebook):
        given = page.is_chapter and number >= first
        for found, percent in words.typed_numbers(without_code(text), page.works, given=given):
            local = near.get(section[number - 1], whole) if "." in found else whole  # head and recap tell of all
            if not words.is_said(found, percent, local):
                where = "anywhere" if local is whole else "in this section or the one before"
                yield number, f"types the number {found}, which no cell says {where}: print it, or cite it"


@rule
def pictures(page: Page) -> Iterator[Fault]:
    """Every picture comes from ``figure``, ``diagram`` or ``demo``, with alt text, one width and readable words."""
    for number, cell, output in page.outputs():
        data, metadata = output.get("data", {}), output.get("metadata", {})
        for mime in (mime for mime in data if mime.startswith("image/")):
            alt = metadata.get(mime, {}).get("alt", "")
            if mime not in PICTURES or not re.search(r"\b(figure|diagram|demo)\(", cell.source):
                yield number, f"shows a picture ({mime}) that does not come from figure, diagram or demo"
            elif len(alt.strip()) < 20:
                yield number, "shows a picture without alt text: figure(fig, alt='what the picture shows')"
    for number, cell in page.cells("code"):
        if any(float(width) != FIGURE_WIDTH for width in re.findall(r"figsize=\(([\d.]+)", cell.source)):
            yield number, f"a figure is {FIGURE_WIDTH} inches wide: figsize=({FIGURE_WIDTH}, height)"
        if any(float(size) < LEAST_TYPE for size in re.findall(r"(?:font|label)size=([\d.]+)", cell.source)):
            yield number, f"letters of less than {LEAST_TYPE} points cannot be read on a phone"
    for number, cell in page.cells("markdown"):
        text = without_code(cell.source)
        if re.search(r"!\[(?!Open in Colab\])|<img\b", text) or cell.get("attachments"):
            yield number, "shows a picture that no cell draws: use figure or diagram in a code cell"


@rule
def citations(page: Page) -> Iterator[Fault]:
    """Each link to arXiv or to a DOI is in ``references.bib``, with the year that the text gives it."""
    for number, text in prose(page.notebook):
        for fault in words.wrong_citations(text, page.works):
            yield number, fault


@rule
def references(page: Page) -> Iterator[Fault]:
    """Each chapter and section that the text names is there."""
    for number, text in prose(page.notebook):
        for name in words.named_sections(without_code(text)):
            if name not in page.book:
                yield number, f"names section {name}, which the book does not have"


@rule
def short_cells(page: Page) -> Iterator[Fault]:
    """At most 15 lines of code in a cell."""
    for number, cell in page.cells("code"):
        lines = _lines(cell)
        if not 0 < lines <= MAX_LINES:
            yield number, f"has {lines} lines of code, expected 1 to {MAX_LINES}: split it"


@rule
def clean_code(page: Page) -> Iterator[Fault]:
    """No trailing semicolon, no plt.show(), no timing, no word to nbval."""
    for number, cell in page.cells("code"):
        if re.search(r"(?m)^[^#\n]*;\s*(#.*)?$", cell.source):
            yield number, "ends a line with a semicolon: it hides nothing here, end the cell with a statement"
        if re.search(r"\bplt\.show\(", cell.source):
            yield number, "calls plt.show(): use figure(fig, alt=...)"
        if found := TIMING.search(cell.source):
            yield number, f"measures time ({found[0]}): timings live in benchmarks/"
        if re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)", cell.source):
            yield number, "excuses a cell from comparison: no cell is excused"


@rule
def no_scripts(page: Page) -> Iterator[Fault]:
    """No raw HTML that runs or styles, in Markdown or in outputs, and no widgets; live figures may run."""
    for number, cell in page.cells("markdown"):
        if found := SCRIPT.search(without_code(cell.source)):
            yield number, f"has raw HTML, {found[0]!r}"
    for number, _, output in page.outputs():
        for mime, value in output.get("data", {}).items():
            read = mime in ("text/html", "text/markdown", "image/svg+xml")
            remote = read and REMOTE.search(live.without_scripts(str(value)))
            if "javascript" in mime or "widget" in mime or remote:
                yield number, f"puts out something that runs in the browser or fetches from elsewhere ({mime})"


@rule
def headings(page: Page) -> Iterator[Fault]:
    """One title, and no level skipped on the way down."""
    level = 0
    for number, depth, text in page.headings:
        if depth > level + 1 or (depth == 1 and level):
            yield number, f"heading {text!r} has level {depth} after level {level}"
        level = depth


@rule
def sections(page: Page) -> Iterator[Fault]:
    """A chapter says what it needs, has exercises, and ends with a recap."""
    if page.is_chapter and not page.path.stem.startswith("00"):
        for name, pattern in SECTIONS.items():
            if not page.has_section(pattern):
                yield None, f"has no heading or bold lead for: {name}"


@rule
def clean_outputs(page: Page) -> Iterator[Fault]:
    """Nothing of this machine, no warnings, no error that the cell does not announce."""
    for number, cell, output in page.outputs():
        announced = "raises-exception" in cell.metadata.get("tags", [])
        texts = [output.get("text", ""), output.get("evalue", ""), *map(str, output.get("data", {}).values())]
        if found := next(filter(None, (LOCAL.search(text) for text in texts if len(text) < 200_000)), None):
            yield number, f"puts out something of this machine: {found[0]!r}"
        if output.output_type == "stream" and output.name == "stderr":
            yield number, f"writes to stderr: {output.text[:80]!r}; mend the cause of the warning"
        if output.output_type == "error" and not announced:
            yield number, f"ends in {output.ename}: mend it, or tag the cell raises-exception"
    for number, cell in page.cells("code"):
        if "raises-exception" in cell.metadata.get("tags", []) and "error" not in [o.output_type for o in cell.outputs]:
            yield number, "is tagged raises-exception and raised none: remove the tag"


@rule
def size(page: Page) -> Iterator[Fault]:
    """Below one megabyte, so that GitHub and a phone open it; beyond it only numbers of a live figure's own table."""
    size = page.path.stat().st_size
    if size > MAX_BYTES and (size := size - live.on_file(page.notebook)) > MAX_BYTES:
        yield None, f"has {size:,} bytes, expected at most {MAX_BYTES:,}: show fewer pictures"


@rule
def tags(page: Page) -> Iterator[Fault]:
    """Every tag and every slideshow key is one that the book or the decks know."""
    for number, cell in enumerate(page.notebook.cells, 1):
        slideshow = cell.metadata.get("slideshow", {})
        if unknown := sorted(set(cell.metadata.get("tags", [])) - KNOWN_TAGS):
            yield number, f"has unknown tag(s) {unknown}; there are {sorted(KNOWN_TAGS)}"
        if set(slideshow) - set(KEYS) or slideshow.get("slide_type", "-") not in TYPES:
            yield number, f"has slideshow metadata {dict(slideshow)}; keys are {KEYS}, types are {TYPES}"


@rule
def deck(page: Page) -> Iterator[Fault]:
    """A chapter has a deck, with something to say on each slide, and nothing else has one."""
    types = [cell.metadata.get("slideshow", {}).get("slide_type", "skip") for cell in page.notebook.cells[1:]]
    if page.is_chapter and "slide" not in types:
        yield None, "has no deck: give cells slideshow metadata with slide_type slide"
    if not page.is_chapter and set(types) != {"skip"}:
        yield None, "has slideshow metadata, but solutions and data-gated notebooks have no deck"
    starts = [n for n, kind in enumerate(types, 2) if kind in ("slide", "subslide")]
    for start, end in pairwise([*starts, len(types) + 2]):
        cells = [cell.metadata.get("slideshow", {}) for cell in page.notebook.cells[start - 1 : end - 1]]
        if not any("notes" in each or each.get("slide_type") == "notes" for each in cells):
            yield start, "begins a slide without speaker notes: slideshow's `notes`, what to ask and what to expect"


@rule
def predictions(page: Page) -> Iterator[Fault]:
    """Each question has a cell for the guess, without one, and then what came out: a fragment where it is on a deck."""
    asked, shown = None, False
    for number, cell in enumerate(page.notebook.cells, 1):
        tagged = set(cell.metadata.get("tags", [])) & {"predict", "came-out"}
        if cell.cell_type == "markdown" and "**Predict before you run.**" in cell.source:
            following = page.notebook.cells[number : number + 1]
            if not following or "predict" not in following[0].metadata.get("tags", []):
                yield number, "asks for a prediction: the next cell, tagged predict, takes the guess"
        if "predict" in tagged:
            if not re.match(r"guess = None\b.*\nasked = predict\(", cell.source):
                yield number, "must read `guess = None  # ...`, `asked = predict(..., guess, unit=... or choices=...)`"
            if asked:
                yield asked, "is never answered: tag the cell that shows it came-out, and call asked.outcome(...)"
            asked, shown = number, False  # shown: on the deck an answer has come already
        if "came-out" in tagged:
            if not asked:
                yield number, "is tagged came-out, and nobody asked"
            if "asked.outcome(" in cell.source:
                asked = None
            kind = cell.metadata.get("slideshow", {}).get("slide_type", "skip")
            if kind == "-" and not shown:
                yield number, "answers on the deck beside its question: slide_type fragment, or a slide of its own"
            shown = shown or kind != "skip"
    if asked:
        yield asked, "is never answered: tag the cell that shows it came-out, and call asked.outcome(...)"


@rule
def turned(page: Page) -> Iterator[Fault]:
    """A chapter has three knobs or more: each first in its cell, and announced by **Change this.** nearby."""
    try:
        found = knobs.find(page.notebook)
    except ValueError as error:
        yield None, str(error)
        return
    for knob in found:
        if not page.notebook.cells[knob.cell].source.startswith(knob.line):
            yield knob.cell + 1, f"has a knob, {knob.name}, that is not its first line"
        around = page.notebook.cells[max(0, knob.cell - 3) : knob.cell + 4]
        if not any("**Change this.**" in cell.source for cell in around if cell.cell_type == "markdown"):
            yield knob.cell + 1, f"has a knob, {knob.name}, but no text near it says **Change this.** and what to watch"
    if page.is_chapter and len(found) < 3:
        yield None, f"has {len(found)} knobs, expected three: `k = 10  # Change this: 5, 50`"


@rule
def clinics(page: Page) -> Iterator[Fault]:
    """A clinic leaves its repair to the reader: an empty cell with a check, then a repair that is folded."""
    for number, _, text in page.headings if page.is_chapter else []:
        if "Clinic" not in text:
            continue
        later = [n for n, _, _ in page.headings if n > number]
        cells = page.notebook.cells[number - 1 : (later[0] - 1) if later else None]
        folded = any("repair" in c.metadata.get("tags", []) or "<details>" in c.source for c in cells)
        judged = re.search(r'check\("\d\dclinic\d', "\n".join(c.source for c in cells if c.cell_type == "code"))
        if not folded or not judged:
            yield number, f'{text!r} needs a cell check("..clinic1", ...=None) and a folded repair'


@rule
def solution(page: Page) -> Iterator[Fault]:
    """A chapter with exercises has a notebook of solutions, and a solution has a chapter."""
    folder = page.root / "notebooks"
    missing = not (folder / "solutions" / page.path.name).exists()
    if page.is_chapter and missing and page.has_section(SECTIONS["exercises"]):
        yield None, f"has exercises but no notebooks/solutions/{page.path.name}"
    if page.path.parent.name == "solutions" and not (folder / page.path.name).exists():
        yield None, f"solves a chapter that is not there: notebooks/{page.path.name}"


def check(page: Page) -> list[str]:
    """All faults of a notebook, one line each: file, cell, rule, what to do."""
    return [
        f"{page.name}{f', cell {number}' if number else ''} [{name}]: {message}"
        for name, function in RULES.items()
        for number, message in function(page)
    ]


def warnings(page: Page) -> list[str]:
    """Cells that are longer than they should be, but not too long."""
    long = [(n, _lines(cell)) for n, cell in page.cells("code") if ABOUT_LINES < _lines(cell) <= MAX_LINES]
    return [f"{page.name}, cell {n}: {lines} lines, about {ABOUT_LINES} are enough" for n, lines in long]


def _lines(cell: NotebookNode) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


if __name__ == "__main__":
    pages = [Page(Path(name).resolve()) for name in sys.argv[1:]] or [Page(path) for path in execute.notebooks()]
    faults = [fault for page in pages for fault in check(page)]
    print(*faults, *(f"warning: {line}" for page in pages for line in warnings(page)), sep="\n")
    raise SystemExit(bool(faults))
