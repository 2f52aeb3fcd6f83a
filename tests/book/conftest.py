"""What the tests of pages and decks share: the built book, and one Chromium a module."""

import os

import browser
import pytest
from pages import ROOT

from tools.book.build import build


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The folder of the built book; `COURSE_BOOK_BUILT=1` says that `_build/html` is fresh, else it is built here."""
    fresh = ROOT / "_build/html"
    if os.environ.get("COURSE_BOOK_BUILT") and (fresh / "index.html").exists():
        return fresh
    output = tmp_path_factory.mktemp("book")
    done = build(ROOT, output, capture=True)
    assert done.returncode == 0, done.stdout[-4000:]
    return output / "_build/html"


@pytest.fixture(scope="module")
def chromium():
    with browser.chromium() as running:
        yield running
