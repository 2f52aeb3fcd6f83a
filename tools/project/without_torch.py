"""What a Python can be asked without torch, whose build for it may be several GB; run by that Python itself.

python -m tools.project.without_torch -> files compile, modules import, tests that need no torch pass

``python -m tools.project.environment pythons`` calls it for each Python that is promised and here. A warning of the
compiler is an error, in the code cells of the notebooks too: it tells what the next Python will refuse.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("src", "tests", "tools", "experiments", "benchmarks", "figs")
HEAVY = {"torch", "torch_geometric", "pyspark", "fastapi"}


@pytest.fixture(scope="session")
def movielens() -> None:
    """In place of the fixture of tests/conftest.py, which needs torch."""
    pytest.skip("the data come as tensors")


def sources() -> Iterator[tuple[str, str]]:
    """Name and text of each Python file, and of each code cell of a notebook."""
    for folder in CODE:
        for file in sorted((ROOT / folder).rglob("*.py")):
            yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")
    for file in sorted((ROOT / "notebooks").rglob("[!.]*.ipynb")):
        for number, cell in enumerate(json.loads(file.read_text(encoding="utf-8"))["cells"], 1):
            if cell["cell_type"] == "code":
                yield f"{file.relative_to(ROOT)}, cell {number}", "".join(cell["source"])


def compile_all() -> tuple[int, list[str]]:
    """How many sources there are, and what the compiler has against them."""
    count, found = 0, []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name, text in sources():
            count += 1
            try:
                compile(text, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
            except (SyntaxError, Warning) as error:
                found.append(f"{name}: {error}")
    return count, found


def import_all(package: Path = ROOT / "src" / "course_utils") -> tuple[list[str], list[str], list[str]]:
    """Modules that import, that ask for what is left out here, and what is wrong with others."""
    light, heavy, wrong = [], [], []
    for file in sorted(package.rglob("*.py")):
        name = ".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")
        try:
            importlib.import_module(name)
            light.append(name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in HEAVY:
                heavy.append(name)
            else:
                wrong.append(f"{name}: {error}")
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {error}")
    return light, heavy, wrong


def asks_for(file: Path, modules: set[str]) -> bool:
    """Whether a file imports one of these, on its first level."""
    named = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return bool(modules & (named | {name.partition(".")[0] for name in named}))


def run_tests(light: list[str], heavy: list[str]) -> int:
    """Run the tests of the light modules; one that asks for the data, which torch holds, is skipped."""
    names = {f"test_{name.rpartition('.')[2]}.py" for name in light}
    files = [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if file.name in names]
    files = [file for file in files if not asks_for(file, {*heavy, "torch"})]
    if not files:
        return 0
    options = ["-q", "-c", "/dev/null", f"--rootdir={ROOT}", "--noconftest", "-p", "no:cacheprovider"]
    return int(pytest.main([*options, *map(str, files)], plugins=[sys.modules[__name__]]))


def main() -> int:
    """Do all of it; 0 when nothing is wrong."""
    sys.path.insert(0, str(ROOT / "src"))
    sys.modules.setdefault("torch", None)  # were it here all the same, a test could not tell
    count, wrong = compile_all()
    print(f"Python {sys.version.split()[0]}: {count} sources, {len(wrong)} that do not compile")
    light, heavy, failed = import_all()
    print(f"{len(light)} modules import, {len(heavy)} ask for {' or '.join(sorted(HEAVY))}, {len(failed)} fail")
    print(*wrong, *failed, sep="\n", end="\n" if wrong or failed else "")
    for name in {"matplotlib"} & sys.modules.keys():
        sys.modules[name].use("Agg")
    return int(bool(run_tests(light, heavy) or wrong or failed or not light))


if __name__ == "__main__":
    raise SystemExit(main())
