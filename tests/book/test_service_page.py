"""The page of the service: ten films rated by key and by pointer give Python's list, in any light, on any screen."""

import pandas as pd
import pytest
from browser import axe_violations, open_page

from course_utils.data import load_movielens, load_table
from course_utils.evaluation import recommend_for
from course_utils.models.als import ImplicitALS
from course_utils.models.neighbors import EASE
from course_utils.serving import Service, Store, create_app

FILMS = {  # words to search for -> title, stars
    "fargo": ("Fargo", 5),
    "toy story": ("Toy Story", 4),
    "pulp fiction": ("Pulp Fiction", 1),
    "CASABLANCA": ("Casablanca", 5),
    "RUNNER blade": ("Blade Runner", 3),
    "psycho": ("Psycho", 4),
    "vertigo": ("Vertigo", 5),
    "annie hall": ("Annie Hall", 2),
    "citizen kane": ("Citizen Kane", 5),
    "brazil": ("Brazil", 4),
}
SEARCH = "Find something you know"


@pytest.fixture(scope="module")
def films():
    return load_movielens()


@pytest.fixture
def model(films, fitted={}):  # noqa: B006 - kept for all tests, and made when the type of numbers is set
    if not fitted:
        fitted["model"] = ImplicitALS(iterations=5).fit(films.interactions())
    return fitted["model"]


@pytest.fixture
def start(tmp_path):
    """Starts a service; its address, its store, and itself."""
    started = []

    def begin(model, table):
        store = Store(tmp_path / "feedback.sqlite")
        started.append(Service(create_app(model, table, store)))
        return f"http://127.0.0.1:{started[-1].port}/", store, started[-1]

    yield begin
    for service in started:
        service.stop()


def by_pointer(page, frame, words, title, stars):
    frame.get_by_role("searchbox", name=SEARCH).fill(words)
    frame.locator("#found").get_by_role("group", name=title, exact=True).get_by_role("radio").nth(stars - 1).click()


def by_key(page, frame, words, title, stars):
    """Tab alone brings her there: the search, the stars of what it found; digits or arrows give stars."""
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == "search":
            break
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Control+A")
    page.keyboard.type(words)
    frame.locator("#found").get_by_role("group", name=title, exact=True).wait_for()
    frame.locator("#found li").nth(3).wait_for(state="detached")
    while page.evaluate("document.activeElement.closest('fieldset')?.getAttribute('aria-label')") != title:
        page.keyboard.press("Tab")
    if stars % 2:
        page.keyboard.press(str(stars))
    else:
        page.keyboard.press(" ")
        for _ in range(stars - 1):
            page.keyboard.press("ArrowRight")


def shown(frame, n):
    """The list, once it is made from n ratings."""
    frame.get_by_text(f"10 titles from the {n} that you rated.").wait_for()
    return frame.locator("#list .title").all_inner_texts()


def reason(row, history):
    """What the page says of a row: three stars or more are liked."""
    said = [("liked" if history[each["item"]] >= 3 else "rated", each["title"]) for each in row["because"]]
    first, *second = [f"you {verb} {title}" for verb, title in said]
    if second and said[0][0] == said[1][0]:
        second = [said[1][1]]
    return " and ".join([f"because {first}", *second])


@pytest.mark.parametrize("width", [1280, 360])
def test_ten_films_give_the_list_that_python_computes(chromium, start, films, model, width):
    address, store, service = start(model, films)
    known = films.items.set_index("title")["item_id"]
    history = {int(known[title]): float(stars) for title, stars in FILMS.values()}
    wanted = recommend_for(model, films.interactions(), history=history, items=films.items)
    asked = [{"item": item, "rating": rating} for item, rating in history.items()]
    answers = service.ask("/recommend", {"history": asked})["items"]
    with open_page(chromium, width=width) as (page, heard):
        page.goto(address)
        assert page.get_by_role("heading", name="The most rated").is_visible()
        for place, (words, (title, stars)) in enumerate(FILMS.items()):
            (by_pointer if place % 2 else by_key)(page, page, words, title, stars)
        assert shown(page, 10) == wanted["title"].tolist()
        assert page.locator("#list .why").all_inner_texts() == [reason(row, history) for row in answers]
        assert heard == []
    (person,) = store.frame()["user_id"].unique()
    assert list(store.latest(person).items()) == list(history.items())


def test_what_is_rated_on_the_list_leaves_it_and_can_be_taken_back(chromium, start, films, model):
    address, store, service = start(model, films)
    with open_page(chromium) as (page, heard):
        page.goto(address)
        by_key(page, page, "fargo", "Fargo", 5)
        first = shown(page, 1)
        page.locator("#list li").nth(2).get_by_role("radio").nth(3).focus()
        page.keyboard.press("4")  # a key: the list waits a second for another
        second = shown(page, 2)
        assert first[2] not in second
        assert page.evaluate("document.activeElement.closest('#list li') === document.querySelectorAll('#list li')[2]")
        page.reload()
        assert shown(page, 2) == second  # the service gave the stars back
        page.get_by_role("button", name=f"Take back {first[2]}").click()
        assert shown(page, 1) == first
        assert heard == []
        service.stop()
        page.get_by_role("button", name="Take back Fargo").click()
        page.get_by_role("alert").filter(has_text="The service does not answer.").wait_for()
    assert store.frame()["place"].iloc[1] == 3


LOOKS = [("stars", dark, width) for dark in (False, True) for width in (1280, 360)] + [("clicks", False, 360)]


@pytest.mark.parametrize(("kind", "dark", "width"), LOOKS)
def test_everybody_can_use_it(chromium, start, films, model, kind, dark, width):
    if kind == "clicks":
        clicks = pd.DataFrame({"who": list("aabbccdd"), "what": ["milk", "bread", "eggs", "jam"] * 2})
        table = load_table(clicks, user="who", item="what")
        address, *_ = start(EASE(1.0).fit(table.interactions()), table)
    else:
        address, *_ = start(model, films)
    with open_page(chromium, width=width, dark=dark) as (page, heard):
        page.goto(address)
        page.locator("#found").get_by_role("radio").first.click()
        page.get_by_role("heading", name="For you").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        assert (axe_violations(page), heard) == ([], [])


def test_it_works_in_a_sandboxed_frame(chromium, start, films, model):
    address, store, _ = start(model, films)
    with open_page(chromium) as (page, heard):
        page.set_content(f"<!doctype html><iframe sandbox=allow-scripts src={address} style='width:100%;height:700px'>")
        frame = page.frame_locator("iframe")
        by_pointer(page, frame, "fargo", "Fargo", 5)
        assert len(shown(frame, 1)) == 10
        assert heard == []
    assert store.frame()["item_id"].tolist() == [100]
