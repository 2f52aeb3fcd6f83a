"""The floors of the package: a module imports from lower floors, or from its left on its own floor."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

FLOORS = [
    ["errors", "fetch", "interactions", "movielens", "data", "clicks", "encode", "stream", "spark"],
    [
        *(
            "splits",
            "metrics",
            "losses",
            "sampling",
            "slates",
            "regularizers",
            "fairness",
            "rerank",
            "baskets",
        ),
        *("logged", "off_policy", "ann"),
    ],
    ["train", "rowwise", "distributed"],
    [
        *("baselines", "neighbors", "content", "least_squares", "implicit_als", "bayes", "als", "antidote"),
        *(
            "mf",
            "embedding_bags",
            "cross",
            "fm",
            "dlrm",
            "parallel",
            "propagation",
            "graph_data",
            "graph_base",
            "graph",
            "two_tower",
            "context_fm",
            "bandits",
            "replay",
        ),
    ],
    ["evaluate", "compare", "loop_parts", "policies", "simulate", "long_run", "workers"],
    ["plots", "notebook", "checks"],
]
PACKAGE = Path(__file__).resolve().parents[1] / "src" / "course_utils"
ORDER = [name for floor in FLOORS for name in floor]
MODULES = sorted(p.stem for p in PACKAGE.glob("*.py") if p.stem != "__init__")


def imported(path):
    """Names of the course_utils modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not any(a.name == "*" for a in node.names), f"{path.name}: star import"
            if node.module == "course_utils":
                names |= {a.name for a in node.names}
            elif node.module.startswith("course_utils."):
                names.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {a.name.split(".")[1] for a in node.names if a.name.startswith("course_utils.")}
    return names


def test_every_module_has_a_floor():
    assert set(MODULES) <= set(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_or_left(module):
    for name in imported(PACKAGE / f"{module}.py"):
        assert ORDER.index(name) < ORDER.index(module), (
            f"{module} imports {name}, which is above or right of it"
        )


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_documented(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    assert ast.get_docstring(tree), f"{module} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{module}.{node.name} has no docstring"


def test_importing_does_nothing():
    code = (
        "import sklearn.feature_extraction.text, mlxtend.frequent_patterns;"  # these draw random numbers themselves
        "import random, torch, numpy as np; s = random.getstate(); n = np.random.get_state()[1].tolist();"
        "d = torch.get_default_dtype(); t = torch.get_num_threads(); torch.manual_seed(1); r = torch.get_rng_state();"
        + "".join(f"import course_utils.{m};" for m in MODULES)
        + "assert random.getstate() == s and np.random.get_state()[1].tolist() == n;"
        "assert torch.get_default_dtype() == d and torch.get_num_threads() == t;"
        "assert torch.equal(torch.get_rng_state(), r);"
        "import matplotlib; assert matplotlib.rcParams['axes.titlelocation'] == 'center'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
