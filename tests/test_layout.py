"""The house: nine rooms in order, each imports from its left alone; no circle, no module behind another."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOMS = ["errors", "data", "ranking", "learning", "models", "evaluation", "simulation", "scale", "notebook"]
HEAVY = [
    "torch_geometric",
    "mlxtend",
    "sklearn",
    "pyspark",
]  # they load where they are taught, and nowhere else
PACKAGE = Path(__file__).resolve().parents[1] / "src" / "course_utils"


def modules(package):
    """Dotted name below the package -> file; the door of a room, its ``__init__``, has the room's name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    found.pop("", None)  # the front door: fetches `setup` on first use
    return found


MODULES = modules(PACKAGE)


def imports(path, known):
    """What a file imports of the package: pairs of a module and the name taken from it, None for a whole module."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [
                (a.name.partition(".")[2], None) for a in node.names if a.name.startswith("course_utils")
            ]
        elif isinstance(node, ast.ImportFrom) and node.level:
            found.append((".", "a relative import"))
        elif isinstance(node, ast.ImportFrom) and node.module.partition(".")[0] == "course_utils":
            module = node.module.partition(".")[2]
            for a in node.names:
                whole = f"{module}.{a.name}".lstrip(".")
                found.append((whole, None) if whole in known else (module, a.name))
    return found


def defined(path):
    """The names that a file makes itself at its top."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)}
    return names


def circles(known):
    """Modules that import themselves through others; a door stands for what it hands on."""
    edges = {
        name: {module for module, _ in imports(path, known)} & set(known) for name, path in known.items()
    }
    found, done = [], set()

    def follow(name, way):
        if name in way:
            found.append(" -> ".join([*way[way.index(name) :], name]))
        elif name not in done:
            for other in sorted(edges[name]):
                follow(other, [*way, name])
            done.add(name)

    for name in known:
        follow(name, [])
    return found


def faults(package):
    """One line for each breach of the order."""
    known, found = modules(package), []
    for name in known:
        if name.partition(".")[0] not in ROOMS:
            found.append(f"{name} stands in no room")
    for name, path in known.items():
        room, is_door = name.partition(".")[0], path.name == "__init__.py"
        text = path.read_text(encoding="utf-8")
        for module, taken in imports(path, known):
            other = module.partition(".")[0]
            if taken == "*":
                found.append(f"{name}: star import from {module}")
            elif module not in known:
                found.append(f"{name}: imports {module or 'the front door'} ({taken})")
            elif room in ROOMS and other in ROOMS and ROOMS.index(other) > ROOMS.index(room):
                found.append(f"{name}: imports {module}, to its right")
            elif taken and known[module].name != "__init__.py" and taken not in defined(known[module]):
                found.append(f"{name}: takes {taken} from {module}, which has it from elsewhere")
            elif taken and known[module].name == "__init__.py" and not name.endswith("__main__"):
                found.append(
                    f"{name}: takes {taken} at the door of {module}; inside the house, take it from its module"
                )
        if not is_door and "__all__" in defined(path):
            found.append(f"{name}: only a door hands names on, so it needs no __all__")
        if "importlib.import_module(" in text and name != "scale.processes":
            found.append(f"{name}: imports by a text that this test cannot read")
    return found + [f"circle: {circle}" for circle in circles(known)]


def test_the_house_keeps_its_order():
    assert {name.partition(".")[0] for name in MODULES} == set(ROOMS)
    assert not faults(PACKAGE), "\n".join(faults(PACKAGE))


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("data/splits.py", "from course_utils.models.als import ALS", "imports models.als, to its right"),
        ("learning/loop.py", "from course_utils import notebook", "imports notebook, to its right"),
        ("scale/spark.py", "from course_utils.errors import *", "star import"),
        ("models/als.py", "from course_utils.models.content import Features", "has it from elsewhere"),
        ("models/als.py", "from course_utils.models import als", "circle: models.als -> models.als"),
        ("models/base.py", "from course_utils.models import als", "circle: models."),
        ("models/als.py", "from course_utils.data import load_movielens", "at the door of data"),
        ("models/als.py", "from . import base", "a relative import"),
        ("models/als.py", "from course_utils import setup", "the front door"),
        ("models/als.py", "from course_utils.evaluate import top_n", "imports evaluate (top_n)"),
        ("models/als.py", '__all__ = ["ALS"]', "only a door hands names on"),
        ("kitchen.py", '"""A tenth room."""', "kitchen stands in no room"),
    ],
)
def test_a_breach_is_seen(tmp_path, file, line, said):
    for path in PACKAGE.rglob("*.py"):
        copy = tmp_path / path.relative_to(PACKAGE)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    if file == "models/base.py":  # the other half of the circle
        als = tmp_path / "models/als.py"
        als.write_text(
            als.read_text(encoding="utf-8") + "\nfrom course_utils.models import base\n", encoding="utf-8"
        )
    broken = tmp_path / file
    before = broken.read_text(encoding="utf-8") if broken.exists() else ""
    broken.write_text(f"{before}\n{line}\n", encoding="utf-8")
    assert any(said in fault for fault in faults(tmp_path)), faults(tmp_path)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module):
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), f"{module} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{module}.{node.name} has no docstring"


def test_a_door_hands_on_what_it_names():
    for name, path in MODULES.items():
        if path.name == "__init__.py":
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Assign) and node.targets[0].id == "__all__":
                    handed = {taken or module.rpartition(".")[2] for module, taken in imports(path, MODULES)}
                    own = defined(path) - {"__all__"}
                    assert set(ast.literal_eval(node.value)) - handed <= own, name


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_light_rooms_load_no_heavy_library():
    code = (
        "import sys, course_utils, course_utils.data, course_utils.evaluation, course_utils.notebook;"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = run(code)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    assert run(f"import course_utils.models.graph; {code}").stdout.strip() == "['torch_geometric']"


def test_importing_does_nothing():
    names = [name for name in MODULES if not name.endswith("__main__")]
    code = (
        "import sklearn.feature_extraction.text, mlxtend.frequent_patterns;"  # these draw random numbers themselves
        "import random, torch, numpy as np; s = random.getstate(); n = np.random.get_state()[1].tolist();"
        "d = torch.get_default_dtype(); t = torch.get_num_threads(); torch.manual_seed(1); r = torch.get_rng_state();"
        + "".join(f"import course_utils.{m};" for m in names)
        + "assert random.getstate() == s and np.random.get_state()[1].tolist() == n;"
        "assert torch.get_default_dtype() == d and torch.get_num_threads() == t;"
        "assert torch.equal(torch.get_rng_state(), r);"
        "import matplotlib; assert matplotlib.rcParams['axes.titlelocation'] == 'center'"
    )
    done = run(code)
    assert done.returncode == 0, done.stderr
