"""Live figures: the same numbers as the package; each works by key and pointer, on a page, in a frame, on a slide."""

import base64
import functools
import json
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from browser import axe_violations, open_page
from scipy.special import betaincinv
from torch.nn.functional import normalize

from course_utils import ranking
from course_utils.data.interactions import Interactions
from course_utils.evaluation import metrics
from course_utils.learning import losses, regularizers
from course_utils.models.als import ALS, ImplicitALS
from course_utils.models.causal import Attention, Blocks
from course_utils.models.neighbors import similarities
from course_utils.simulation import bandits
from course_utils.simulation.world import closeness, engagement
from tools.notebooks import live
from tools.slides import build as slides

ROOT = Path(__file__).resolve().parents[2]
FOLDER, STATES = ROOT / "assets/demos", 1000
NAMES = sorted(path.stem for path in FOLDER.glob("*.js") if path.stem != "frame")
MOST = {"rate-ten-films": 400_000}


def shown():
    """Each live figure of the chapters: name -> its notebook and its HTML."""
    found = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                html = output.get("data", {}).get("text/html", "")
                if html.startswith("<live-"):
                    found[html[6:].split()[0]] = (path, html)
    return found


SHOWN = shown()
WHERE = "JSON.stringify(Reveal.getIndices())"
TEXT = """e => JSON.stringify(e.state)
    + [...e.shadowRoot.querySelectorAll('.stage, .says')].map(each => each.innerHTML).join()"""
CONTROLS = ".controls input, .controls button:not(.again), .stage input, .stage button, svg [role=slider]"


def page_of(html, dark=False):
    colours = "background: #12181e; color: #e3e9ee" if dark else "background: #fff; color: #16202a"
    return f"<!doctype html><html lang=en><title>A figure</title><body style='{colours}'><main><h1>A</h1>{html}</main>"


# --- the same arithmetic ------------------------------------------------------------------------------------------


def ten_places(data, rng):
    """Hits at random places, some relevant items missed."""
    hits = rng.random(10) < rng.random()
    missed = int(rng.integers(0, 11)) or int(not hits.any())
    relevant = torch.zeros(1, 30, dtype=torch.bool)
    relevant[0, :10], relevant[0, 10 : 10 + missed] = torch.from_numpy(hits), True
    lists = torch.arange(10)[None]
    names = {"precision": "precision", "recall": "recall", "rr": "reciprocal_rank", "ndcg": "ndcg"}
    values = {key: getattr(metrics, f"{name}_at_k")(lists, relevant, 10) for key, name in names.items()}
    for rule in ("min", "relevant", "hits"):
        values[rule] = metrics.average_precision_at_k(lists, relevant, 10, normalizer=rule)
    return data, {"hits": hits.astype(int).tolist(), "relevant": int(hits.sum()) + missed}, values


def shrink(data, rng):
    """The package's similarities of a few users, shrunk, from those that are not."""
    table, kappa = rng.integers(1, 6, (14, 6)) * (rng.random((14, 6)) < 0.7).astype(float), int(rng.integers(0, 101))
    table = torch.from_numpy(np.where(table > 0, table, np.nan))
    plain, shrunk = (similarities(table, "pearson", shrinkage=each, common=True)[0, 1:] for each in (0, kappa))
    n = (table[0].isfinite() & table[1:].isfinite()).sum(1)
    keep = n > 0
    order = shrunk[keep].argsort(descending=True, stable=True)[:6]
    expected = {"shrunk": shrunk[keep], "overlaps": n[keep][order], "similarities": shrunk[keep][order]}
    return {"n": n[keep].tolist(), "w": plain[keep].tolist()}, {"kappa": kappa}, expected


def forces(data, rng):
    """Minus the gradient that torch finds."""
    scores = torch.from_numpy(rng.integers(-20, 41, 4) / 10).requires_grad_()
    relevance, loss = (
        torch.tensor(data["relevance"]),
        str(rng.choice(["hinge", "RankNet", "LambdaRank", "ListNet", "ListMLE"])),
    )
    better, worse = (relevance[:, None] > relevance).nonzero().T
    pairs = {"hinge": losses.hinge_loss, "RankNet": losses.bpr_loss}
    lists = {"LambdaRank": losses.lambdarank_loss, "ListNet": losses.listnet_loss, "ListMLE": losses.listmle_loss}
    loss = str(rng.choice([*pairs, *lists]))
    if loss in pairs:
        value = pairs[loss](scores[better], scores[worse]) * len(better)
    else:
        value = lists[loss](scores[None], relevance[None])
    value.backward()
    places = scores.argsort(descending=True, stable=True).argsort() + 1
    state = {"scores": scores.tolist(), "loss": loss}
    return data, state, {"loss": value.detach(), "push": -scores.grad, "places": places}


def trade_off(data, rng):
    """The package's MMR on a random shortlist."""
    features = torch.nn.functional.normalize(torch.from_numpy(rng.random((20, 4))))
    scores, alike = torch.from_numpy(rng.random(20)), features @ features.T
    setting = int(rng.integers(0, 101)) / 100
    chosen = ranking.mmr(scores[None], alike, 10, setting)[0]
    diversity = 1 - (alike[chosen][:, chosen].sum() - alike.diagonal()[chosen].sum()) / 90
    expected = {"list": chosen, "relevance": scores[chosen].mean(), "diversity": diversity}
    return {"scores": scores.tolist(), "alike": alike.tolist()}, {"tradeOff": setting}, expected


def two_lines(data, rng):
    """Each rating a row, each gap a term of the package."""
    counts = rng.integers(1, 60, (2, 5))
    stars = [torch.from_numpy(np.repeat(np.arange(1.0, 6), each)) for each in counts]
    groups = torch.tensor([0, 1]).repeat_interleave(torch.from_numpy(counts.sum(1)))
    actual, aim, closed = torch.cat(stars), str(rng.choice(["means", "errors"])), int(rng.integers(0, 101)) / 100
    own, spread = torch.stack([each.mean() for each in stars]), torch.stack([each.var(correction=0) for each in stars])
    predictions = own + closed * (actual.mean() - own)
    if aim == "errors":
        served = int(spread.argmin())
        shift = (closed * (spread.max() - spread.min())).sqrt()
        predictions = own.clone()
        predictions[served] += shift if own[served] < own[1 - served] else -shift
    rmse = torch.tensor([metrics.rmse(predictions[a].expand(len(stars[a])), stars[a]) for a in (0, 1)])
    expected = {
        "predictions": predictions,
        "rmse": rmse,
        "worse": rmse - spread.sqrt(),
        "gap": predictions[0] - predictions[1],
    }
    expected["parity"] = regularizers.demographic_parity(predictions[groups], groups)
    expected["errorParity"] = regularizers.error_parity(predictions[groups], actual, groups)
    state = {"pair": 0, "aim": aim, "closed": closed}
    return {"groups": [{"counts": counts.tolist()}]}, state, expected


def half_steps(data, rng):
    """ALS without biases on a random table with one hole."""
    table = rng.integers(1, 6, (2, 2)).astype(float)
    frame = pd.DataFrame({"user_id": [0, 0, 1], "item_id": [0, 1, 0], "rating": table.ravel()[:3], "timestamp": 0})
    steps, penalty, weighted = int(rng.integers(1, 12)), int(rng.integers(1, 51)) / 100, bool(rng.random() < 0.5)
    model = ALS(1, penalty, -(-steps // 2), weighted=weighted, biases=False)
    model.fit(Interactions.from_frame(frame), item_factors=torch.ones(2, 1))
    start = ((table.ravel()[:3] - 1) ** 2).sum() + penalty * (6 if weighted else 4)
    expected = {"p": model.user_factors[:, 0], "losses": [start, *model.loss_history[:steps]]}
    if steps % 2 == 0:
        expected["q"], expected["cells"] = (
            model.item_factors[:, 0],
            (model.user_factors @ model.item_factors.T).flatten(),
        )
    ratings = [[table[0, 0], table[0, 1]], [table[1, 0], None]]
    return {"ratings": ratings}, {"steps": steps, "penalty": penalty, "weighted": weighted}, expected


@functools.cache
def whole(text, kind):
    """Whole numbers that a cell wrote as base64."""
    return np.frombuffer(base64.b64decode(text), kind).astype(float)


def rate_ten_films(data, rng):
    """Implicit ALS folds in a history of ten films or fewer; its score as a sum over them, by a solve of its own."""
    Q = torch.from_numpy(whole(data["factors"], "<i2").reshape(-1, 64) * data["unit"])
    model = ImplicitALS(64, data["regularization"], data["alpha"])
    model.user_factors, model.item_factors = torch.zeros(1, 64), Q
    raters = whole(data["raters"], "<u2")
    films, stars = rng.choice(len(Q), 10, replace=False, p=raters / raters.sum()), rng.integers(0, 6, 10)
    stars[0], chosen = max(stars[0], 1), int(rng.integers(0, 10))
    frame = pd.DataFrame({"user_id": 0, "item_id": films, "rating": stars, "timestamp": 0}).query("rating > 0")
    history = Interactions.from_frame(frame, user_ids=[0], item_ids=range(len(Q)))
    scores = model.fold_in(history)[0]
    als, popularity = (
        ranking.top_k(values.masked_fill(history.mask()[0], -torch.inf)[None], 10)[0]
        for values in (scores, torch.from_numpy(raters))
    )
    rated, extra = frame["item_id"].to_numpy(), data["alpha"] * torch.from_numpy(frame["rating"].to_numpy(float))
    A = Q.T @ Q + data["regularization"] * torch.eye(64) + Q[rated].T @ (extra[:, None] * Q[rated])
    carried = (1 + extra) * (Q[rated] @ torch.linalg.solve(A, Q[als[chosen]]))
    assert torch.isclose(carried.sum(), scores[als[chosen]])
    state = {"films": films.tolist(), "stars": stars.tolist(), "chosen": chosen}
    return None, state, {"als": als, "popularity": popularity, "scores": scores[als], "carried": carried}


def map_of_films(data, rng):
    """Cosines after a change of the axes by a matrix, and a product, with its inverse on the other side."""
    vectors = whole(data["vectors"], "<i2").reshape(-1, data["factors"]) * data["unit"]
    film, turn, stretch = rng.integers(len(vectors) - 1), 5 * int(rng.integers(0, 37)), int(rng.integers(10, 41)) / 10
    cosine, sine, A = np.cos(np.radians(turn)), np.sin(np.radians(turn)), np.eye(data["factors"])
    A[:2, :2] = A[2:4, 2:4] = cosine * np.eye(2)
    A[2:4, :2], A[:2, 2:4] = sine * np.eye(2), -sine * np.eye(2)
    A[:, :2] *= stretch
    near = []
    for films in (vectors[1:], vectors[1:] @ A):
        cosines = normalize(torch.from_numpy(films)) @ normalize(torch.from_numpy(films[film]), dim=0)
        cosines[film] = -2
        near.append(cosines.argsort(descending=True, stable=True)[:5])
    score = vectors[0] @ np.linalg.inv(A).T @ (vectors[1 + film] @ A)
    expected = {"nearest": near[1], "cosines": cosines[near[1]], "kept": torch.isin(near[1], near[0]).sum()}
    state = {"film": int(film), "turn": turn, "stretch": stretch}
    return None, state, expected | {"score": score, "before": vectors[0] @ vectors[1 + film]}


def the_loop(data, rng):
    """Urns drawn from by the package's weights."""
    worlds, x = data["worlds"], torch.tensor(data["positions"])
    own, explores, pick = ((whole(data["luck"], "<u2") + 0.5) / 1000).reshape(worlds, -1, 3).transpose(2, 1, 0)
    appetite, exploration = int(rng.integers(0, 41)) / 10, int(rng.integers(0, 21)) / 20
    tastes = torch.from_numpy(own - 0.5)
    weights, worth = engagement(tastes[..., None], x, appetite).numpy(), 0
    balls = np.ones((worlds, len(x)))
    for draw in range(len(own)):
        urn = np.where(explores[draw, :, None] < exploration, 1, balls)
        reach = (urn * weights[draw]).cumsum(axis=1)
        item = (reach <= pick[draw, :, None] * reach[:, -1:]).sum(axis=1)
        balls[np.arange(worlds), item] += 1
        worth += closeness(tastes[draw], x[item]).mean() / len(own)
    shares = (balls - 1) / len(own)
    expected = {"shares": shares.ravel(), "means": shares.mean(axis=0), "luck": shares.std(axis=0).mean()}
    expected |= {"extremity": (shares @ x.abs().numpy()).mean(), "worth": worth}
    return None, {"appetite": appetite, "exploration": exploration}, expected


class Dealt:
    """A generator that hands out what a cell has drawn."""

    def random(self, size):
        return self.explores if isinstance(size, int) else self.draws

    def beta(self, a, b):
        return betaincinv(a, b, self.draws)


class Narrowed(bandits.Thompson):
    """Thompson sampling of chapter 15 with a width."""

    def values(self, generator, pools, contexts=None):
        counts, sums = self._of(pools)
        mean = (1 + sums) / (2 + counts)
        return mean + self.width * (super().values(generator, pools) - mean)


@functools.cache
def raced(luck, runs, steps, coins, name, knob):
    """The package's bandit in all runs: what it lost in each, ``(runs,)``."""
    coins, arms, rows, dealt = np.array(coins), len(coins), np.arange(runs), Dealt()
    draws, tosses, explores = np.split((whole(luck, "u1") + 0.5) / 256, [runs * steps * 10, runs * steps * 20])
    draws, tosses = draws.reshape(runs, steps, 10), tosses.reshape(runs, 10, steps)
    kinds = {"greedy": bandits.EpsilonGreedy, "ucb": bandits.UCB1, "thompson": Narrowed}
    bandit = kinds[name](runs, arms, *() if name == "thompson" else (knob,))
    bandit.width, lost, pools = knob, np.zeros(runs), np.tile(np.arange(arms), (runs, 1))
    for step in range(steps):
        dealt.draws, dealt.explores = draws[:, step, :arms], explores.reshape(runs, steps)[:, step]
        taken = bandit.values(dealt, pools).argmax(axis=1)
        pull = bandit.counts[rows, taken].astype(int)
        bandit.update(taken, tosses[rows, taken, pull] < coins[taken])
        lost += coins.max() - coins[taken]
    return lost


def bandit_race(data, rng):
    """Three bandits of the package with the luck that the cell drew."""
    films = str(rng.choice(list(data["coins"])))
    knobs = {
        "greedy": int(rng.integers(11)) / 20,
        "ucb": int(rng.integers(21)) / 10,
        "thompson": int(rng.integers(21)) / 20,
    }
    settings = data["luck"], data["runs"], data["steps"], tuple(data["coins"][films])
    lost = {name: raced(*settings, name, knob) for name, knob in knobs.items()}
    expected = {"mean": {name: ends.mean() for name, ends in lost.items()}}
    return None, {"films": films, **knobs}, expected | {"worst": {name: ends.max() for name, ends in lost.items()}}


def what_next(data, rng):
    """The package's attention over the same films in the order of the state."""
    length, factors, (place, swap) = data["length"], data["factors"], rng.integers(1, data["length"] + 1, 2).tolist()
    learned = torch.from_numpy(whole(data["learned"], "<i2").reshape(-1, factors) * data["unit"])
    films, places, *layers = learned.split([length, length, 2, factors + 1, factors + 1])
    middle = Blocks(Attention, factors, length, 1).double()
    middle.causal, backwards = (bool(each) for each in rng.integers(0, 2, 2))
    block, order = middle.blocks[0], torch.arange(length)
    for layer, rows in zip((block.norm, block.query, block.key), layers, strict=True):
        layer.weight.data, layer.bias.data = rows[:-1].squeeze(0), rows[-1]
    order = order.flip(0) if backwards else order
    order[[0, swap - 1]] = order[[swap - 1, 0]]
    visible = middle.visible(torch.ones(1, length, dtype=torch.bool))
    weights = block.read((films[order] + places)[None], visible)[1][0, place - 1].detach()
    named = data["named"][length * backwards + swap - 1] if place == length else []
    state = {"place": place, "swap": swap, "reversed": backwards, "mask": middle.causal}
    return None, state, {"order": order, "weights": weights, "later": weights[place:].sum(), "named": named}


PYTHON = {
    "bandit-race": (bandit_race, 3),
    "forces": (forces, 3),
    "half-steps": (half_steps, 4),
    "map-of-films": (map_of_films, 3),
    "rate-ten-films": (rate_ten_films, 3),
    "shrink": (shrink, 3),
    "ten-places": (ten_places, 3),
    "the-loop": (the_loop, 3),
    "trade-off": (trade_off, 3),
    "two-lines": (two_lines, 3),
    "what-next": (what_next, 3),
}


def agrees(value, got, digits):
    """Whether what the figure computed, as it writes it, is Python's value; at an edge either digit will do."""
    if isinstance(value, dict):
        return all(agrees(each, got[key], digits) for key, each in value.items())
    if isinstance(value, str):
        return value == got
    if isinstance(got, list):
        return len(value) == len(got) and all(map(lambda v, g: agrees(v, g, digits), value, got))
    return got in {f"{float(value) + nudge:z.{digits}f}" for nudge in (-1e-12, 0, 1e-12)}


JAVASCRIPT = """([name, cases, digits]) => {
    const written = (value) => Array.isArray(value) || ArrayBuffer.isView(value) ? [...value].map(written)
        : typeof value === "object" ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, written(v)]))
        : typeof value === "string" ? value : LiveFigure.fixed(Number(value), digits);
    const own = document.querySelector(`live-${name}`).data;
    return cases.map(([data, state]) => written(customElements.get(`live-${name}`).compute(data ?? own, state)));
}"""


@pytest.mark.parametrize("name", NAMES)
def test_it_computes_what_the_package_does(chromium, name):
    python, digits = PYTHON[name]
    rng = np.random.default_rng(0)
    with open_page(chromium) as (page, _):
        page.set_content(page_of(SHOWN[name][1]))
        data = page.evaluate(f"document.querySelector('live-{name}').data")
        cases, expected = [], []
        for _ in range(STATES):
            *case, value = python(data, rng)
            cases.append(case)
            expected.append(value)
        got = page.evaluate(JAVASCRIPT, [name, cases, digits])
    wrong = [each for each in zip(cases, expected, got, strict=True) if not agrees(*each[1:], digits)]
    assert not wrong, f"{len(wrong)} of {STATES}, first: {wrong[0]}"
    assert len({json.dumps(each) for each in got}) > 50, "the states differ"


def test_numbers_are_written_as_python_writes_them(chromium):
    numbers = [*np.random.default_rng(0).normal(size=1000), *(n / 64 for n in range(-99, 99)), 2.5, 0.0005, 1e-9]
    with open_page(chromium) as (page, _):
        page.add_script_tag(path=FOLDER / "frame.js")
        for digits in (0, 1, 2, 3, 4):
            got = page.evaluate("([n, d]) => n.map(each => LiveFigure.fixed(each, d))", [numbers, digits])
            assert got == [f"{each:z.{digits}f}" for each in numbers]


# --- it works where it stands ---------------------------------------------------------------------------------------


def press(page, control, kind):
    """Work a control by its keys."""
    control.focus()
    if kind == "search":
        page.keyboard.type("alien")
    for key in {"button": ["Enter"], "radio": ["Space"]}.get(kind, ["End", "ArrowLeft"]):
        page.keyboard.press(key)


def point(page, control, kind):
    """Work a control by a pointer: press, and drag what is dragged."""
    box = control.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    if kind == "slider":
        page.mouse.move(x - 40, y, steps=3)
    page.mouse.up()


def operate(page, frame, name):
    """Work each control, a radio button that is off by one of the two ways; a line for each that changes nothing."""
    figure, still = frame.locator(f"live-{name}"), []
    controls, begin = figure.locator(CONTROLS), figure.evaluate(TEXT)
    for place in range(min(controls.count(), 12)):
        control = controls.nth(place)
        kind = control.evaluate("e => e.getAttribute('role') ?? e.type ?? e.localName")
        control.scroll_into_view_if_needed()
        ways = [press, point] if kind != "radio" else [] if control.is_checked() else [(press, point)[place % 2]]
        for way in ways:
            before = figure.evaluate(TEXT)
            way(page, control, kind)
            if figure.evaluate(TEXT) == before and (way, kind) != (point, "search"):
                still.append(f"{name}: {way.__name__} does not work control {place} ({kind})")
    figure.locator(".again").click()
    return still + ([] if figure.evaluate(TEXT) == begin else [f"{name}: Reset does not come back"])


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("name", NAMES)
def test_it_works_on_a_page_and_in_a_sandboxed_frame(chromium, name, width):
    html = SHOWN[name][1]
    for dark in (False, True):
        with open_page(chromium, width=width, dark=dark) as (page, heard):
            page.set_content(page_of(html, dark))
            assert operate(page, page, name) == []
            assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            assert page.locator(f"live-{name} .card.dark").count() == dark
            found = axe_violations(page)
            assert (found, heard) == ([], [])
    with open_page(chromium, width=width) as (page, heard):
        page.set_content("<!doctype html><iframe sandbox=allow-scripts style='width:100%;height:1500px;border:0'>")
        page.evaluate("html => { document.querySelector('iframe').srcdoc = html; }", page_of(html))
        frame = page.frame_locator("iframe")
        frame.locator(f"live-{name} .says").wait_for()
        assert operate(page, frame, name) == []
        assert heard == []


@pytest.mark.parametrize("name", NAMES)
def test_it_works_on_its_slide_and_the_deck_stays(chromium, name, tmp_path):
    deck = slides.build(SHOWN[name][0], tmp_path)
    with open_page(chromium) as (page, heard):
        slides.open_deck(page, deck)
        place = page.evaluate(
            f"(() => {{ const s = document.querySelector('live-{name}').closest('section');"
            " return [Reveal.getIndices(s).h, Reveal.getIndices(s).v || 0]; })()"
        )
        slides.show(page, place)
        now = page.evaluate(WHERE)
        assert operate(page, page, name) == []
        assert page.evaluate(WHERE) == now
        card, slide = (
            page.evaluate(f"e => ({box}).getBoundingClientRect().bottom", None)
            for box in (f"document.querySelector('live-{name}')", "Reveal.getCurrentSlide().querySelector('.foot')")
        )
        assert card <= slide, "it reaches below the slide"
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("ArrowRight")
        assert page.evaluate(WHERE) != now
        assert heard == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_idle_and_reads_without_javascript(chromium, name):
    html = SHOWN[name][1]
    assert len(html.encode()) <= MOST.get(name, 60_000)
    assert live.is_live(html)
    with open_page(chromium) as (page, _):
        page.set_content(page_of(live.without_scripts(html)))
        assert len(page.inner_text(f"live-{name}")) >= 60
        count = "setInterval = setTimeout = requestAnimationFrame = () => { asked.push(1); return 1; };"
        page.set_content(page_of(f"<script>asked = []; {count}</script>{html}"))
        page.wait_for_timeout(300)
        assert page.evaluate("asked") == []


def test_every_figure_is_in_a_chapter():
    assert sorted(SHOWN) == NAMES == sorted(PYTHON)


def test_a_script_that_is_not_the_books_own_stays_in_the_html():
    html, own = SHOWN["ten-places"][1], "<script>\n1\n</script>\n"
    assert "<script" not in live.without_scripts(html)
    for changed in (html.replace("fixed", "mixed", 1), html + own, html.replace("</p>", f"</p>{own}")):
        assert "<script" in live.without_scripts(changed)


def test_only_the_numbers_of_a_committed_table_do_not_count_as_size():
    notebook = nbformat.read(SHOWN["rate-ten-films"][0], as_version=4)
    assert 280_000 < live.on_file(notebook) < 290_000
    for output in (output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output):
        html = output.data.get("text/html", "")
        output.data["text/html"] = html.replace("&quot;factors&quot;:&quot;", "&quot;factors&quot;:&quot;AAAA")
    assert live.on_file(notebook) == 0
