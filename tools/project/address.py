"""The repository's address and release tag: printed, checked, set. ``_config.yml`` is the one source.

python -m tools.project.address -> print both
python -m tools.project.address check -> name each file that disagrees
python -m tools.project.address set URL TAG -> rewrite _config.yml and all that names the address or the release
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.notebooks import execute

ROOT = Path(__file__).resolve().parents[2]
COLAB = "https://colab.research.google.com"
HOST = "https://github.com/"
PAGES = (
    "*.md",
    "*.cff",
    "pyproject.toml",
    "book/**/*.md",
    "tools/**/*.py",
    "src/course_utils/**/*.py",
    ".github/**/*.yml",
)
# where a file states the version that belongs to the tag: file -> pattern with the version as group 2
VERSIONS = {
    "CITATION.cff": r"(?m)^(version: *\"?)([^\s\"]+)",
    "pyproject.toml": r"(?m)^(version = \")([^\"]+)",
    "src/course_utils/__init__.py": r"(?m)^(__version__ = \")([^\"]+)",
}


@dataclass(frozen=True)
class Address:
    """Where the project lives (``https://github.com/OWNER/NAME``) and the release that Colab opens."""

    url: str
    tag: str

    def __post_init__(self) -> None:
        if not re.fullmatch(re.escape(HOST) + r"[\w.-]+/[\w.-]+(?<!\.git)", self.url):
            raise SystemExit(f"{self.url}: expected {HOST}OWNER/NAME, which is the form that Colab can open")
        if not re.fullmatch(r"[\w.-]+", self.tag):
            raise SystemExit(f"{self.tag}: expected a release tag such as v0.1.0")

    @property
    def slug(self) -> str:
        """``OWNER/NAME``."""
        return self.url.removeprefix(HOST)

    @property
    def bootstrap(self) -> str:
        """Source of the cell that installs the package where it is missing; the second cell of every notebook."""
        return (
            'if __import__("importlib.util").util.find_spec("course_utils") is None:\n'
            f'    get_ipython().run_line_magic("pip", "install -q git+{self.url}@{self.tag}")'
        )

    def badge(self, path: str) -> str:
        """Markdown of the Colab badge of the notebook at ``path``, counted from the root."""
        edition = "student-" if re.fullmatch(r"notebooks/[^/]+", path) else ""  # chapters: without what came out
        place = f"{COLAB}/github/{self.slug}/blob/{edition}{self.tag}/{path}"
        return f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({place})"


def read(root: Path = ROOT) -> Address:
    """The address that ``_config.yml`` names."""
    text = (root / "_config.yml").read_text(encoding="utf-8")
    block = re.search(r"(?m)^repository:\n((?:[ \t]+.*\n?)+)", text)
    found = {key: re.search(rf"(?m)^\s+{key}: *\"?([^\s\"]+)", block[1] if block else "") for key in ("url", "branch")}
    if not all(found.values()):
        raise SystemExit("_config.yml: expected `repository:` with `url:` and `branch:`")
    return Address(found["url"][1], found["branch"][1])


def check(root: Path = ROOT) -> list[str]:
    """One line for each file that disagrees with ``_config.yml``; empty when all agree."""
    address = read(root)
    faults = []
    for path in execute.notebooks(root):
        name = path.relative_to(root).as_posix()
        sources = [cell["source"] for cell in execute.read(path).cells] + ["", ""]
        if address.badge(name) not in sources[0]:
            faults.append(f"{name}: the badge of its first cell does not open this file at {address.url} {address.tag}")
        if sources[1] != address.bootstrap:
            faults.append(f"{name}: its second cell does not install {address.url}@{address.tag}")
    for path in _pages(root):
        name, text = path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
        faults += [f"{name}: names {other}, not {now}" for other, now in _strangers(text, address)]
    citation = _text(root / "CITATION.cff")
    if citation and f'repository-code: "{address.url}"' not in citation:
        faults.append(f'CITATION.cff: has no line repository-code: "{address.url}"')
    for name, pattern in VERSIONS.items():
        found = re.search(pattern, _text(root / name))
        if found and re.fullmatch(r"v\d[\w.]*", address.tag) and found[2] != address.tag[1:]:
            faults.append(f"{name}: version {found[2]}, but the release is {address.tag}")
    return faults


def change(new: Address, root: Path = ROOT) -> list[str]:
    """Rewrite every file that names the old address; return the names of those that changed."""
    old = read(root)
    changed = []
    for path in [root / "_config.yml", *_pages(root)]:
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(root).as_posix()
        after = _replace(text, old, new)
        if name == "_config.yml":
            after = re.sub(r"(?m)^(repository:\n(?:[ \t]+.*\n)*?\s+branch: *)\S+", rf"\g<1>{new.tag}", after)
        if name in VERSIONS and re.fullmatch(r"v\d[\w.]*", new.tag):
            after = re.sub(VERSIONS[name], rf"\g<1>{new.tag[1:]}", after, count=1)
        if after != text:
            path.write_text(after, encoding="utf-8")
            changed.append(name)
    for path in execute.notebooks(root):
        notebook = execute.read(path)
        for cell in notebook.cells:
            cell["source"] = _replace(cell["source"], old, new)
        text = execute.dumps(notebook)  # cell ids follow their source
        if text != path.read_text(encoding="utf-8"):
            path.write_text(text, encoding="utf-8")
            changed.append(path.relative_to(root).as_posix())
    return changed


def _pages(root: Path) -> list[Path]:
    """Text files, other than notebooks, that may name the address."""
    found = {path for pattern in PAGES for path in root.glob(pattern)}
    found |= {root / name for name in VERSIONS if (root / name).exists()}
    return sorted(found - {Path(__file__).resolve()})


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _replace(text: str, old: Address, new: Address) -> str:
    """Old address and tag for new, wherever the tag stands in a link or an install line of this repository."""
    here = rf"({re.escape(HOST)}|{re.escape(COLAB)}/github/){re.escape(old.slug)}(?![\w-])"
    text = re.sub(
        here + rf"((?:/(?:blob|tree|raw)/(?:student-)?|@){re.escape(old.tag)}(?![\w-]|\.\w))", _swap(old, new), text
    )
    return re.sub(here, rf"\g<1>{new.slug}", text)


def _swap(old: Address, new: Address) -> Callable[[re.Match], str]:
    return lambda match: match[1] + new.slug + match[2].replace(old.tag, new.tag)


def _strangers(text: str, address: Address) -> Iterator[tuple[str, str]]:
    """Addresses that look like ours but have another owner, name or release."""
    name = re.escape(address.slug.partition("/")[2])
    for match in re.finditer(rf"{re.escape(HOST)}([\w.-]+/{name})(?![\w-])", text):
        if match[1] != address.slug:
            yield HOST + match[1], address.url
    for match in re.finditer(rf"{re.escape(COLAB)}/github/([\w.-]+/[\w.-]+)", text):
        if match[1] != address.slug:
            yield f"{COLAB}/github/{match[1]}", address.slug
    for match in re.finditer(rf"{re.escape(address.slug)}(?:/(?:blob|tree|raw)/|@)([\w.-]*\w)", text):
        if match[1] not in (address.tag, f"student-{address.tag}", "main"):
            yield match[0], address.tag


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[1] == "set":
        print("\n".join(change(Address(sys.argv[2].rstrip("/"), sys.argv[3]))) or "nothing to change")
    elif sys.argv[1:] == ["check"]:
        problems = check()
        print("\n".join(problems) or "every file names the same address")
        raise SystemExit(bool(problems))
    elif not sys.argv[1:]:
        print(read().url, read().tag)
    else:
        raise SystemExit(__doc__)
