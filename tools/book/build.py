"""Build the book into ``_build/html``; any warning fails the build.

    python -m tools.book.build

Notebooks are not run: the book shows their committed outputs, which the strict notebook run compares.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
STRICT = ["-W", "--keep-going", "-n", "--all"]
# an icon in the theme's script: its name, width, height, other names, code and path
ICON = re.compile(r'(?:"([\w-]+)"|(\w+)):\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')


def build(source: Path = ROOT, output: Path | None = None, *, capture: bool = False) -> subprocess.CompletedProcess:
    """Build the book that lies in ``source``.

    Args:
        source: folder with ``_config.yml`` and ``_toc.yml``.
        output: folder that gets ``_build/html``; ``source`` when left out.
        capture: keep what the build prints in the result instead of showing it.

    Returns:
        The finished process; its ``returncode`` is 0 only when the book built without a warning.
    """
    target = output or source
    # A page that left the table of contents must not live on as an orphan.
    shutil.rmtree(target / "_build" / "html", ignore_errors=True)
    command = [*COMMAND, str(source), "--path-output", str(target), *STRICT]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True} if capture else {}
    done = subprocess.run(command, cwd=source, check=False, **pipe)
    if done.returncode == 0:
        keep_used_icons(target / "_build" / "html")
    return done


def keep_used_icons(html: Path) -> None:
    """Leave in the theme's script those of its two thousand icons that pages or scripts name: 1.5 MB become 0.1."""
    script = html / "_static" / "scripts" / "fontawesome.js"
    texts = [path for kind in ("*.html", "*.js") for path in html.rglob(kind) if path != script]
    used = {name for path in texts for name in re.findall(r"\bfa-([\w-]+)", path.read_text(encoding="utf-8"))}

    def kept(icon: re.Match) -> str:
        names = {icon[1] or icon[2], *re.findall(r'"([\w-]+)"', icon[3])}
        return icon[0] if names & used else ""

    script.write_text(ICON.sub(kept, script.read_text(encoding="utf-8")), encoding="utf-8")


def main() -> int:
    """Read the command line, build, say where the book is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, help="folder that gets _build/html (default: the project)")
    arguments = parser.parse_args()
    code = build(ROOT, arguments.output).returncode
    if code == 0:
        print(f"the book: {((arguments.output or ROOT) / '_build/html/index.html').resolve()}")
    return code


if __name__ == "__main__":
    raise SystemExit(main())
