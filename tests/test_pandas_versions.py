"""What pandas 2 and 3 do differently is written so that both give the same; book, package and experiments."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"src": "py", "experiments": "py", "benchmarks": "py", "notebooks": "ipynb"}
FILES = [path for folder, kind in FOLDERS.items() for path in sorted((ROOT / folder).rglob(f"*.{kind}"))]
# pandas 3 makes a column for the empty text, pandas 2 makes none
GENRE = r"str\.get_dummies\((?!.{0,120}?\.drop\(columns=\"\", errors=\"ignore\"\))"
# pandas 2 orders equal counts as its sort happens to leave them: value_counts(sort=False).nlargest(n)
CUT = r"value_counts\(\)(\.index)?(\[:|\.head\()"


def faults(text):
    return [pattern for pattern in (GENRE, CUT) if re.search(pattern, text.replace('\\"', '"'), re.DOTALL)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_both_pandas_give_the_same(path):
    assert faults(path.read_text()) == []


PLANTED = [('x.str.get_dummies("|").drop(columns="")', [GENRE]), ("x.str.get_dummies().to_numpy()", [GENRE])]
PLANTED += [(r"x.str.get_dummies(\"|\").drop(columns=\"\", errors=\"ignore\")", [])]
PLANTED += [("x.value_counts().index[:9]", [CUT]), ("x.value_counts(sort=False).nlargest(9).index", [])]


@pytest.mark.parametrize(("text", "found"), PLANTED)
def test_a_fault_is_seen(text, found):
    assert faults(text) == found
