"""The house: ten rooms in order, each imports from its left alone; no circle, no module behind another; its size."""

import ast
import functools
import graphlib
import json
import shutil
from pathlib import Path

import pytest
from shared import python

from tools.project.run_tests import DEEP, STAGES

PACKAGE_LINES = 7_500 + 2_109 + 404 - 924  # 0.2.0; readers, typeface, live figures; service; said twice; used once
MODULE_LINES, IMPORT_LINES = 300, 10
# of 0.2.0; readers, pages, decks, 17 to 19; teachers; print; service; own tables; slides; runs left out, compared
TESTS_LINES = 9_000 + 2_263 + 386 + 207 + 783 + 8 + 40 + 38 + 44

ROOMS = ["errors", "data", "ranking", "learning", "models", "evaluation", "simulation", "scale", "serving", "notebook"]
HEAVY = ["torch_geometric", "mlxtend", "sklearn", "pyspark", "fastapi"]  # they load where they are taught alone
ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TOOLS = ROOT / "src" / "course_utils", ROOT / "tools"
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
READERS = [*ROOT.glob("notebooks/**/*.ipynb")]
READERS += [path for name in ("experiments", "benchmarks", "tools", "figs") for path in ROOT.glob(f"{name}/**/*.py")]
CALLED_BY_TORCH = {"forward", "backward", "setup_context", "step"}
BOXES = {"DotInteraction", "ConcatInteraction", "ShardedDLRM", "Tower"}  # parts of a model: a picture has a box each
BY_TEXT = {"scale.processes", "project.without_torch"}  # import what they are told to


def modules(package):
    """Dotted name below the package -> file; the door of a room, its ``__init__``, has the room's name."""
    names = {path: path.relative_to(package).as_posix() for path in sorted(package.rglob("*.py"))}
    names.pop(package / "__init__.py", None)  # the front door: fetches `setup` on first use
    return {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path, name in names.items()}


parse = functools.cache(ast.parse)


def parsed(path):
    return parse(path.read_text(encoding="utf-8"))


MODULES = modules(PACKAGE)


def imports(path, known, top="course_utils"):
    """What a file imports of the package: pairs of a module and the name taken from it, None for a whole module."""
    found = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [(a.name.partition(".")[2], None) for a in node.names if a.name.partition(".")[0] == top]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append((".", "a relative import"))
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == top:
            module = node.module.partition(".")[2]
            for a in node.names:
                whole = f"{module}.{a.name}".lstrip(".")
                found.append((whole, None) if whole in known else (module, a.name))
    return found


def defined(path):
    """The names that a file makes itself at its top."""
    body = parsed(path).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    inner = [each for node in body if isinstance(node, ast.Assign | ast.AnnAssign) for each in ast.walk(node)]
    return names | {n.id for n in inner if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def circle(known, top):
    """Modules that import themselves through others, or nothing; a door stands for what it hands on."""
    edges = {name: {used for used, _ in imports(path, known, top)} & set(known) for name, path in known.items()}
    try:
        graphlib.TopologicalSorter(edges).prepare()
    except graphlib.CycleError as error:
        return [f"circle: {' -> '.join(reversed(error.args[1]))}"]
    return []


def faults(package, top="course_utils"):
    """One line for each breach: of the order of the rooms in the package, of what holds for tools as well."""
    known, found = modules(package), []
    for name, path in known.items():
        room, is_door, is_house = name.partition(".")[0], path.name == "__init__.py", top == "course_utils"
        if is_house and room not in ROOMS:
            found.append(f"{name} stands in no room")
        for module, taken in imports(path, known, top):
            other = module.partition(".")[0]
            if module not in known:
                found.append(f"{name}: imports {module or 'the front door'} ({taken})")
            elif room in ROOMS and other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                found.append(f"{name}: imports {module}, to its right")
            elif taken and known[module].name == "__init__.py" and not name.endswith("__main__"):
                found.append(f"{name}: takes {taken} at the door of {module}, not from its module")
            elif taken and taken not in defined(known[module]) and known[module].name != "__init__.py":
                found.append(f"{name}: takes {taken} from {module}, which has it from elsewhere")
        if not is_door and "__all__" in defined(path):
            found.append(f"{name}: only a door hands names on, so it needs no __all__")
        used = {ast.unparse(node) for node in ast.walk(parsed(path)) if isinstance(node, ast.Attribute)}
        if name not in BY_TEXT and (tricks := used & {"sys.path", "importlib.import_module"}):
            found.append(f"{name}: uses {sorted(tricks)}")  # no test can read what it imports
    return found + circle(known, top)


@pytest.mark.parametrize("package", [PACKAGE, TOOLS], ids=lambda package: package.name)
def test_the_house_and_its_tools_keep_their_order(package):
    assert package is TOOLS or {name.partition(".")[0] for name in MODULES} == set(ROOMS)
    assert not (found := faults(package, package.name)), "\n".join(found)


BREACHES = [
    ("data/splits.py", "from course_utils.models.als import ALS", "imports models.als, to its right"),
    ("learning/loop.py", "from course_utils import notebook", "imports notebook, to its right"),
    ("scale/spark.py", "from course_utils.errors import *", "has it from elsewhere"),
    ("models/als.py", "from course_utils.models.content import Features", "has it from elsewhere"),
    ("models/als.py", "from course_utils.models import als", "circle: models.als -> models.als"),
    ("models/base.py", "from course_utils.models import als", "circle: models."),
    ("models/als.py", "from course_utils.data import load_movielens", "at the door of data"),
    ("models/als.py", "from . import base", "a relative import"),
    ("models/als.py", "from course_utils import setup", "the front door"),
    ("models/als.py", "from course_utils.evaluate import top_n", "imports evaluate (top_n)"),
    ("models/als.py", '__all__ = ["ALS"]', "only a door hands names on"),
    ("kitchen.py", '"""One room more."""', "kitchen stands in no room"),
    ("models/als.py", "import importlib\nimportlib.import_module('x')", "uses ['importlib.import_module']"),
    ("notebooks/execute.py", "def f():\n    from tools.project import address", "circle: "),
    ("slides/deck.py", "import sys\nsys.path.append('.')", "uses ['sys.path']"),
    ("slides/deck.py", "from tools.slides.render import DeckError", "has it from elsewhere"),
]


def append(path, text):
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")


@pytest.mark.parametrize(("file", "line", "said"), BREACHES)
def test_a_breach_is_seen(tmp_path, file, line, said):
    package = TOOLS if file.startswith(("notebooks/", "slides/")) else PACKAGE
    shutil.copytree(package, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    append(tmp_path / "copy" / file, line)
    if file == "models/base.py":  # the other half of the circle
        append(tmp_path / "copy" / "models/als.py", "from course_utils.models import base")
    found = faults(tmp_path / "copy", package.name)
    assert any(said in fault for fault in found), found


@pytest.mark.parametrize(("also", "loaded"), [("sys", []), ("course_utils.models.graph", ["torch_geometric"])])
def test_light_rooms_load_no_heavy_library(also, loaded):
    rooms = "course_utils, course_utils.data, course_utils.evaluation, course_utils.notebook"
    done = python(f"import sys, {rooms}, {also}; print([name for name in {HEAVY} if name in sys.modules])")
    assert done.stdout.strip() == str(loaded), done.stdout + done.stderr


def test_importing_does_nothing():
    done = python(
        "import sklearn.feature_extraction.text, mlxtend.frequent_patterns;"  # these draw random numbers themselves
        "import random, torch, numpy as np; s = random.getstate(); n = np.random.get_state()[1].tolist();"
        "d = torch.get_default_dtype(); t = torch.get_num_threads(); torch.manual_seed(1); r = torch.get_rng_state();"
        + "".join(f"import course_utils.{name};" for name in MODULES if not name.endswith("__main__"))
        + "assert random.getstate() == s and np.random.get_state()[1].tolist() == n;"
        "assert torch.get_default_dtype() == d and torch.get_num_threads() == t;"
        "assert torch.equal(torch.get_rng_state(), r);"
        "import matplotlib; assert matplotlib.rcParams['axes.titlelocation'] == 'center'"
    )
    assert done.returncode == 0, done.stderr


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize(("folder", "most"), [(PACKAGE, PACKAGE_LINES), (ROOT / "tests", TESTS_LINES)])
def test_the_house_stays_small(folder, most):
    assert sum(map(lines, folder.rglob("*.py"))) <= most, f"shorten {folder.name}, or raise its sum above and say why"
    assert {name: n for name, path in MODULES.items() if (n := lines(path)) > MODULE_LINES} == {}


def code_of(path):
    if path.suffix == ".py":
        return path.read_text(encoding="utf-8")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def words(tree):
    """The names that code reads or imports, and what a text of the form ``module:function`` asks for."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.alias(name=name):
                found |= set(name.split("."))
            case ast.Constant(value=str(text)) if text.startswith("course_utils."):
                found.add(text.rpartition(":")[2])
    return found


def promised(tree):
    """Names that a module's own public face needs: base classes, and types of arguments and results."""
    parts = []
    for node in ast.walk(tree):
        parts += getattr(node, "bases", [])
        parts += filter(None, [getattr(node, "annotation", None), getattr(node, "returns", None)])
    return {word for part in parts for word in words(part)}


def unread(package):
    """Public functions, classes and methods that nobody reads, a line each; a door that hands on is no reader."""
    trees = {name: parsed(path) for name, path in modules(package).items() if path.name != "__init__.py"}
    outside = BOXES.union(*(words(parse(code_of(path))) for path in READERS))
    inside, found = {name: words(tree) for name, tree in trees.items()}, []
    for name, tree in trees.items():
        read = outside.union(*(inside[other] for other in trees if other != name), promised(tree))
        top = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        public = [(node.name, node.name) for node in top]
        for node in top:
            inner = node.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_") else []
            methods = [method.name for method in inner if isinstance(method, ast.FunctionDef)]
            public += [(f"{node.name}.{method}", method) for method in methods if method not in CALLED_BY_TORCH]
        found += [f"{name}: {full}" for full, word in public if not word.startswith("_") and word not in read]
    return found


def test_every_public_name_has_a_reader():
    assert unread(PACKAGE) == []


def test_a_name_without_a_reader_is_seen(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "copy", ignore=shutil.ignore_patterns("__pycache__"))
    before = unread(tmp_path / "copy")
    append(tmp_path / "copy" / "ranking.py", "class Lonely:\n    def unheard(self): ...\n    def _own(self): ...")
    append(tmp_path / "copy" / "ranking.py", "class Result: ...\n\ndef top_k() -> Result:\n    Lonely()")
    new = set(unread(tmp_path / "copy")) - set(before)
    assert new == {"ranking: Lonely", "ranking: Lonely.unheard"}


def import_lines(code):
    found = [node for node in ast.parse(code).body if isinstance(node, ast.Import | ast.ImportFrom)]
    return sum(node.end_lineno - node.lineno + 1 for node in found)


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_opens_with_few_imports(chapter):
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    assert import_lines("".join(cells[2]["source"])) <= IMPORT_LINES  # the third cell holds the imports, by rule


def test_import_lines_are_counted_as_they_stand():
    assert import_lines("import a\nfrom b import (\n    c,\n    d,\n)\n\nsetup()\n# import e") == 5


def test_every_test_of_the_book_has_its_stage():
    named = {word for commands in (STAGES | DEEP).values() for command in commands for word in command}
    assert {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests" / "book").glob("test_*.py")} <= named
