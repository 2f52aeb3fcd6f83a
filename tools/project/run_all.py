"""Run every script of a folder, one after the other: ``python -m tools.project.run_all experiments``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def scripts(folder: str) -> list[Path]:
    """The folder's scripts in alphabetical order; a name with ``_`` in front is no script, but what scripts share."""
    return sorted((ROOT / folder).glob("[!_]*.py"))


def main(folder: str) -> int:
    """Run the folder's scripts; stop at the first that fails."""
    for script in scripts(folder):
        print(f"== {script.relative_to(ROOT)}", flush=True)
        code = subprocess.run([sys.executable, script], cwd=ROOT).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
