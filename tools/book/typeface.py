"""The book's two typefaces, Inter and JetBrains Mono, cut to the letters that it needs.

    python -m tools.book.typeface

writes the two files that plots are lettered with, ``src/course_utils/notebook/fonts``, after a change of what is cut
here. Pages and decks take theirs at build time from the same registry packages; ``_build/typeface`` keeps what was cut.
"""

from __future__ import annotations

import base64
import shutil
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "_build" / "typeface"
STYLE = ROOT / "assets" / "typeface.css"
PLOTS = ROOT / "src" / "course_utils" / "notebook" / "fonts"
INTER, MONO = "fontpkg_inter", "fontpkg_jetbrains_mono"
# name in typeface.css -> package, file in it, what stays of its axes
WEB = {
    "inter": (INTER, "Inter[opsz,wght].ttf", {"opsz": 14, "wght": (400, 700)}),
    "inter-italic": (INTER, "Inter-Italic[opsz,wght].ttf", {"opsz": 14, "wght": (400, 700)}),
    "mono": (MONO, "JetBrainsMono[wght].ttf", {"wght": (400, 700)}),
}
PLOT = {
    "Inter-Regular": (INTER, "Inter[opsz,wght].ttf", {"opsz": 14, "wght": 400}),
    "Inter-Bold": (INTER, "Inter[opsz,wght].ttf", {"opsz": 14, "wght": 700}),
}
PRINT = {  # Typst takes no axes
    f"{name}-{style}-{weight}": (package, file, {**({"opsz": 14} if name == "inter" else {}), "wght": weight})
    for weight in (400, 700)
    for name, style, package, file in (
        ("inter", "upright", INTER, "Inter[opsz,wght].ttf"),
        ("inter", "italic", INTER, "Inter-Italic[opsz,wght].ttf"),
        ("mono", "upright", MONO, "JetBrainsMono[wght].ttf"),
    )
}
FAMILY = "Inter of the book"
LETTERS = [(0x20, 0x7E), (0xA0, 0x17F), (0x391, 0x3D6), (0x2010, 0x209F), (0x2190, 0x22FF)]  # Latin, Greek, signs
DRAWN = [(0x2500, 0x25CF), (0x2605, 0x2606), (0x2713, 0x2717)]  # boxes, stars and ticks, as printed tables have them
FEATURES = ["kern", "ccmp", "locl", "mark", "mkmk", "tnum"]  # no ligatures: code shows what is typed


def web_fonts() -> dict[str, Path]:
    """The three files of pages and decks, as woff2; cut on the first call, which takes some seconds."""
    files = {name: CACHE / f"{name}-{_versions()}.woff2" for name in WEB}
    for name, file in files.items():
        if not file.exists():
            CACHE.mkdir(parents=True, exist_ok=True)
            _cut(*WEB[name], [*LETTERS, *DRAWN], file, flavor="woff2")
    return files


def print_fonts() -> Path:
    """The folder with the fonts of the printed book, as TrueType; cut on the first call."""
    folder = CACHE / f"print-{_versions()}"
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in PRINT.items():
        if not (file := folder / f"{name}.ttf").exists():
            _cut(*source, [*LETTERS, *DRAWN], file, flavor="ttf")
    return folder


def copy_to(folder: Path) -> None:
    """Put the fonts of the pages, and their licences, into a folder of the finished book."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, file in web_fonts().items():
        shutil.copy2(file, folder / f"{name}.woff2")
    for package in (INTER, MONO):
        shutil.copy2(_package(package) / "LICENSE", folder / f"{package.removeprefix('fontpkg_')}-licence.txt")


def inlined_style() -> str:
    """``assets/typeface.css`` with the fonts inside, for a page that is one file."""
    text = STYLE.read_text(encoding="utf-8")
    for name, file in web_fonts().items():
        coded = base64.b64encode(file.read_bytes()).decode()
        text = text.replace(f'url("fonts/{name}.woff2")', f'url("data:font/woff2;base64,{coded}")')
    return text


def _versions() -> str:
    return "-".join(metadata.version(name) for name in ("fontpkg-inter", "fontpkg-jetbrains-mono"))


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{name.replace('_', '-')}: install the extra 'book'")
    return Path(found.submodule_search_locations[0])


def _cut(package: str, file: str, axes: dict, ranges: list[tuple[int, int]], target: Path, flavor: str = "") -> None:
    """Write a font with these letters alone, at these places of its axes, the same bytes each time.

    Without a flavor it is for matplotlib, which reads no features, under a name that no other font of a machine has.
    """
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer

    font = TTFont(_package(package) / "files" / file, recalcTimestamp=False)
    options = subset.Options(layout_features=FEATURES if flavor else [], hinting=False, notdef_outline=True)
    cutter = subset.Subsetter(options)
    cutter.populate(unicodes=[code for first, last in ranges for code in range(first, last + 1)])
    cutter.subset(font)
    font = instancer.instantiateVariableFont(font, axes, updateFontNames=flavor != "woff2")
    if not flavor:
        for record in font["name"].names:
            if record.nameID in (1, 16):
                record.string = FAMILY
    font.flavor = "woff2" if flavor == "woff2" else None
    font.save(target)


def main() -> None:
    """Write the fonts of the plots, with their licence."""
    PLOTS.mkdir(exist_ok=True)
    for name, source in PLOT.items():
        _cut(*source, LETTERS, PLOTS / f"{name}.ttf")
    shutil.copy2(_package(INTER) / "LICENSE", PLOTS / "OFL.txt")


if __name__ == "__main__":
    main()
