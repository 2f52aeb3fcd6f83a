"""RecBole's model files without the packages that RecBole asks for, which do its logging alone.

    pip install --no-deps --target _build/bench/recbole recbole==1.2.1

``make bench`` does that; without the folder what needs it is left out.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).resolve().parents[1] / "_build" / "bench" / "recbole"


class _Silent(ModuleType):
    def __getattr__(self, attribute: str) -> object:
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        return lambda *_, **__: None


def model(name: str, folder: Path, kind: str = "general") -> type:
    """One of ``recbole.model.general_recommender``, or of another kind, by its class."""
    from scipy import sparse  # not before _timing has asked for one thread
    from torch import autograd

    for missing in ("colorlog", "colorama", "texttable", "thop", "wandb", "torch.utils.tensorboard"):
        sys.modules.setdefault(missing, _Silent(missing))
    sparse.dok_matrix._update = lambda matrix, entries: matrix._dict.update(entries)  # gone from newer SciPy
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    found = getattr(import_module(f"recbole.model.{kind}_recommender.{name.lower()}"), name)
    autograd.set_detect_anomaly(False)  # RecBole's file of SINE turns it on for all who come after
    return found
