"""The checks of the built book's pages that need no browser."""

import functools
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[2]
EXTERNAL = re.compile(r"^(https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""")
LOADING = {"stylesheet", "icon", "preload", "preconnect", "dns-prefetch", "modulepreload", "manifest"}
COLAB = "https://colab.research.google.com/github/"


def pages_of_toc():
    """Every page that ``_toc.yml`` names, without suffix, the front page first."""
    text = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    return re.findall(r"(?m)^[ -]*(?:root|file): (\S+?)(?:\.md|\.ipynb)?$", text)


@functools.cache
def read(path):
    """What one HTML page links to, loads and names."""
    soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    links = [tag["href"] for tag in soup.select("a[href], area[href]")]
    anchors = {tag[name] for name in ("id", "name") for tag in soup.select(f"[{name}]")}
    loads = [tag["href"] for tag in soup.select("link[href]") if LOADING & set(tag.get("rel", []))]
    loads += [tag[name] for name in ("src", "data", "poster") for tag in soup.select(f"[{name}]:not(input)")]
    loads += [part.split()[0] for tag in soup.select("[srcset]") for part in tag["srcset"].split(",") if part.strip()]
    return SimpleNamespace(links=links, anchors=anchors, loads=loads)


def html_files(site):
    """Every page of a built book; decks have tests of their own."""
    found = sorted(site.rglob("*.html"))
    return [path for path in found if not {"_static", "slides"} & set(path.relative_to(site).parts)]


def dead_links(site):
    """Internal links and anchors of all pages that lead nowhere, one line each."""
    files, dead = html_files(site), []
    for path in files:
        for link in read(path).links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment) or "top"
            if not target.is_file():
                dead.append(f"{path.relative_to(site)}: no such file: {link}")
            elif target in files and anchor not in read(target).anchors | {"top"}:
                dead.append(f"{path.relative_to(site)}: no such anchor: {link}")
    return dead


def external_loads(site):
    """Scripts, styles, fonts, pictures and frames that a page or a style sheet takes from another machine."""
    found = [(path, each) for path in html_files(site) for each in read(path).loads if EXTERNAL.match(each)]
    for path in sorted(site.rglob("*.css")):
        text = path.read_text(encoding="utf-8")
        found += [(path, each) for each in IN_STYLES.findall(text)]
    return [f"{path.relative_to(site)}: {address}" for path, address in found]


def wrong_badges(site, root=ROOT):
    """Links to Colab that name another repository or release than `_config.yml`, or a notebook that is not there."""
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    start = f"{COLAB}{urlsplit(repository['url']).path.strip('/')}/blob/(student-)?{re.escape(repository['branch'])}/"
    found = [(path, link) for path in html_files(site) for link in read(path).links if link.startswith(COLAB)]
    right = {link for _, link in found if re.match(start, link) and (root / re.sub(start, "", link)).is_file()}
    return [f"{path.relative_to(site)}: {link}" for path, link in found if link not in right]
