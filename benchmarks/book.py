"""What do the pages and decks of the book cost, beside what Jupyter Book and nbconvert make without our code?

    python benchmarks/book.py
    python benchmarks/book.py --repeats 1 --only decks

The same three chapters, with the outputs that are committed. Processor time, children included, by turns.

- pages: ``jupyter-book build`` with the book's configuration and extension (alt text, local MathJax, exercises, links),
  against the same command with a configuration that says no more than not to run the notebooks. The start of Python
  and Sphinx is in both.
- decks: ``tools/slides/build.py``, whose decks hold all they need, against nbconvert's slides, which take reveal.js and
  MathJax from the network.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from tempfile import TemporaryDirectory

from _timing import Row, compare, parser, peer, report, show_times, stopwatch, turns

# isort: split
import nbformat

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ["03_evaluation", "04_neighbors", "12_diversity"]
BUILD = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", "--all", "-q"]
PLAIN = 'title: "Plain"\nonly_build_toc_files: true\nexecute:\n  execute_notebooks: "off"\n'


def project(folder: Path, configuration: str) -> Path:
    """A book of a front page and the chapters."""
    folder.mkdir()
    for name in ("assets", "book", "tools", "references.bib"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "_config.yml").write_text(configuration)
    (folder / "index.md").write_text("# Front\n")
    (folder / "notebooks").mkdir()
    lines = ["format: jb-book", "root: index", "chapters:"]
    for chapter in CHAPTERS:
        shutil.copy(ROOT / "notebooks" / f"{chapter}.ipynb", folder / "notebooks")
        lines.append(f"  - file: notebooks/{chapter}")
    (folder / "_toc.yml").write_text("\n".join(lines) + "\n")
    return folder


def page_builder(folder: Path) -> Callable[[], float]:
    """Build the book from nothing and give the processor seconds of the child."""

    def run() -> float:
        shutil.rmtree(folder / "_build", ignore_errors=True)
        begin = getrusage(RUSAGE_CHILDREN)
        done = subprocess.run([*BUILD, str(folder)], capture_output=True, text=True, check=False)
        end = getrusage(RUSAGE_CHILDREN)
        built = [(folder / "_build/html/notebooks" / f"{chapter}.html").exists() for chapter in CHAPTERS]
        assert done.returncode == 0, done.stderr[-2000:]
        assert all(built), done.stderr[-2000:]
        return end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime

    return run


def pages(repeats: int) -> Row:
    """Our pages beside plain ones."""
    with TemporaryDirectory() as made:
        folder = Path(made).resolve()
        sides = {
            "ours": page_builder(project(folder / "ours", (ROOT / "_config.yml").read_text())),
            "plain jupyter-book": page_builder(project(folder / "plain", PLAIN)),
        }
        times = turns(sides, repeats, warm_up=False)
    return answer(f"pages of {len(CHAPTERS)} chapters", times, "plain jupyter-book")


def decks(repeats: int) -> Row:
    """Our decks beside nbconvert's."""
    from tools.slides import build as slides

    chapters = [ROOT / "notebooks" / f"{chapter}.ipynb" for chapter in CHAPTERS]
    with TemporaryDirectory() as made:
        output = Path(made)
        sides = {"ours": stopwatch(lambda: [slides.build(chapter, output) for chapter in chapters])}
        if exporter := peer("nbconvert", lambda: __import__("nbconvert").SlidesExporter()):

            def theirs() -> None:
                for chapter in chapters:
                    text, _ = exporter.from_notebook_node(nbformat.read(chapter, as_version=4))
                    (output / f"{chapter.stem}.slides.html").write_text(text, encoding="utf-8")

            sides["nbconvert slides"] = stopwatch(theirs)
        times = turns(sides, repeats)
    return answer(f"decks of {len(CHAPTERS)} chapters", times, "nbconvert slides")


def answer(question: str, times: dict[str, list[float]], theirs: str) -> Row:
    """The row, with what one chapter costs."""
    show_times(question, times)
    each = sorted(times["ours"])[len(times["ours"]) // 2] / len(CHAPTERS)
    return compare(times, question, "ours", theirs, note=f"{each:.1f} s a chapter")


def main() -> None:
    arguments = parser(__doc__, repeats=2)
    arguments.add_argument("--only", choices=["pages", "decks"], help="one part alone")
    options = arguments.parse_args()
    parts = {"pages": pages, "decks": decks}
    report([run(options.repeats) for name, run in parts.items() if options.only in (None, name)])


if __name__ == "__main__":
    main()
