"""The built book, and the checks of its pages that need no browser."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tools.book.build import build

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
EXTERNAL = re.compile(r"^(https?:)?//", re.IGNORECASE)
LOADING_RELATIONS = {
    "stylesheet",
    "icon",
    "preload",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
    "manifest",
}


def pages_of_toc(root: Path = ROOT) -> list[str]:
    """Every page that ``_toc.yml`` names, without suffix, the front page first."""
    toc = yaml.safe_load((root / "_toc.yml").read_text(encoding="utf-8"))

    def walk(entry: object) -> Iterator[str]:
        if isinstance(entry, dict):
            if "file" in entry:
                yield re.sub(r"\.(md|ipynb)$", "", entry["file"])
            for value in entry.values():
                yield from walk(value)
        elif isinstance(entry, list):
            for value in entry:
                yield from walk(value)

    return [toc["root"], *walk(toc)]


@pytest.fixture(scope="session")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built book; `COURSE_BOOK_BUILT=1` says that `_build/html` is fresh, else it is built here."""
    fresh = ROOT / "_build/html"
    if os.environ.get("COURSE_BOOK_BUILT") and (fresh / "index.html").exists():
        return fresh
    output = tmp_path_factory.mktemp("book")
    done = build(ROOT, output, capture=True)
    assert done.returncode == 0, done.stdout[-4000:]
    return output / "_build/html"


@dataclass
class Page(HTMLParser):
    """What one HTML page links to, loads and names."""

    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    anchors: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__()

    @classmethod
    def read(cls, path: Path) -> Page:
        """Parse a file."""
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag in {"a", "area"} and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and LOADING_RELATIONS & set(given.get("rel", "").split()):
            self.loads.append(given.get("href", ""))
        else:
            self.loads += [
                given[name] for name in ("src", "data", "poster") if name in given and tag != "input"
            ]
            self.loads += [part.split()[0] for part in given.get("srcset", "").split(",") if part.strip()]


def html_files(site: Path) -> list[Path]:
    """Every page of a built book; decks have tests of their own."""
    return sorted(
        path for path in site.rglob("*.html") if not {"_static", "slides"} & set(path.relative_to(site).parts)
    )


def dead_links(site: Path) -> list[str]:
    """Internal links and anchors of all pages that lead nowhere, one line each."""
    read = {path: Page.read(path) for path in html_files(site)}
    dead = []
    for path, page in read.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                dead.append(f"{path.relative_to(site)}: no such file: {link}")
            elif (
                parts.fragment
                and target in read
                and unquote(parts.fragment) not in read[target].anchors | {"top"}
            ):
                dead.append(f"{path.relative_to(site)}: no such anchor: {link}")
    return dead


def external_loads(site: Path) -> list[str]:
    """Scripts, styles, fonts, pictures and frames that a page or a style sheet takes from another machine."""
    found = [
        f"{path.relative_to(site)}: {address}"
        for path in html_files(site)
        for address in Page.read(path).loads
        if EXTERNAL.match(address)
    ]
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        for address in re.findall(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", text):
            found.append(f"{path.relative_to(site)}: {address}")
    return found


def wrong_badges(site: Path, root: Path = ROOT) -> list[str]:
    """Links to Colab that name another repository or release than `_config.yml`, or a notebook that is not there."""
    repository = urlsplit(CONFIG["repository"]["url"]).path.strip("/")
    start = f"https://colab.research.google.com/github/{repository}/blob/{CONFIG['repository']['branch']}/"
    wrong = []
    for path in html_files(site):
        for link in Page.read(path).links:
            if not link.startswith("https://colab.research.google.com/github/"):
                continue
            if not link.startswith(start) or not (root / unquote(link.removeprefix(start))).is_file():
                wrong.append(f"{path.relative_to(site)}: {link}")
    return wrong
