"""The web service: what it is asked, what it answers, what it refuses; taught in chapter 21."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field, StrictInt, StrictStr

from course_utils.data.table import Table
from course_utils.errors import InputError
from course_utils.models.base import Recommender
from course_utils.serving.answers import Answers
from course_utils.serving.store import Store

MOST_BYTES, MOST_ITEMS = 65_536, 200  # of a request, of a history
_OWN = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
Item = StrictInt | StrictStr
Person = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Place = Annotated[int, Field(ge=1, le=1_000_000_000)]


def create_app(
    model: Recommender | Mapping[str, Recommender], table: Table, store: Store, *, index: bool = False
) -> FastAPI:
    """A service that recommends and keeps feedback; :func:`course_utils.serving.run.serve` starts it.

    ``POST /recommend`` makes titles with reasons of a history, ``POST /feedback`` answers when the store has what was
    said, ``GET /feedback`` gives it back, ``/items`` searches, ``/health`` says that all is well, ``/`` is a page. What
    it cannot use is refused with status 422 and a sentence, what is too long with 413. A model is fitted to
    ``table.interactions()`` or a part of it and knows ``fold_in``. Of several, ``{version: model}``, a person meets the
    one that a hash of her name draws; what a person was shown is kept. ``index`` as in Answers.
    """
    versions = dict(model) if isinstance(model, Mapping) else {repr(model): model}
    answering = {version: Answers(each, table, index=index) for version, each in versions.items()}
    names, answers = [*versions], next(iter(answering.values()))
    low, high = table.rating_range or (1.0, 1.0)
    choices = np.unique(table.ratings["rating"]) if low < high and not table.counted else np.array([low])
    choices = (choices if len(choices) <= 11 else np.linspace(low, high, 5)).tolist()
    Rating = Annotated[float, Field(ge=low, le=high)]

    def version_of(person: str | None) -> str:
        drawn = hashlib.sha256("\n".join([*names, person or ""]).encode()).digest()  # other versions, another draw
        return names[int.from_bytes(drawn) % len(names)] if person else names[0]

    class Had(BaseModel):
        item: Item
        rating: Rating

    class Asked(BaseModel):
        history: list[Had] = Field(max_length=MOST_ITEMS)  # the oldest first
        k: int = Field(10, ge=1, le=100)
        reasons: bool = True
        person: Person | None = None

    class Said(BaseModel):
        person: Person
        item: Item
        rating: Rating | None  # None takes it back
        place: Place | None = None  # on the list
        shown: Place | None = None  # the list

    app = FastAPI(title="Your recommender", docs_url=None, redoc_url=None)  # their pages ask other machines
    app.add_middleware(CORSMiddleware, allow_origins=["null"], allow_headers=["content-type"])  # a sandboxed frame
    app.add_middleware(_short)

    @app.exception_handler(RequestValidationError)
    @app.exception_handler(InputError)
    def refuse(_: Request, error: RequestValidationError | InputError) -> JSONResponse:
        first = {} if isinstance(error, InputError) else error.errors()[0]
        where = ".".join(map(str, first.get("loc", ())[1:])) or "request, JSON sent as content-type application/json"
        return JSONResponse({"detail": f"{where}: {first['msg']}" if first else str(error)}, 422)

    @app.get("/health")
    def health() -> dict:
        models = {version: repr(each) for version, each in versions.items()}
        return {"versions": models, "items": len(answers.ids), "choices": choices}

    @app.get("/items")
    def items(search: Annotated[str, Query(max_length=100)] = "") -> dict:
        return {"items": answers.search(search)}

    @app.post("/recommend")
    def recommend(asked: Asked) -> dict:
        version, history = version_of(asked.person), {had.item: had.rating for had in asked.history}
        found = answering[version].recommend(history, asked.k, why=asked.reasons)
        shown = store.show(asked.person, version, [row["item"] for row in found]) if asked.person else None
        return {"version": version, "shown": shown, "items": found}

    @app.post("/feedback")
    def feedback(said: Said) -> dict:
        answers.code(said.item)
        version = version_of(said.person)
        return {"kept": store.say(said.person, said.item, said.rating, said.place, said.shown, version)}

    @app.get("/feedback")
    def given(person: Annotated[Person, Query()]) -> dict:
        latest = {item: rating for item, rating in store.latest(person).items() if item in answers.codes}
        return {"items": [answers.named(answers.code(item), rating=rating) for item, rating in latest.items()]}

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        return HTMLResponse(text, headers={"content-security-policy": _OWN})

    return app


def _short(app: Callable) -> Callable:
    """Stop reading a request that is too long."""

    async def limited(scope: dict, receive: Callable, send: Callable) -> None:
        size = 0

        async def counted() -> dict:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > MOST_BYTES:
                raise HTTPException(413, f"a request has at most {MOST_BYTES:,} bytes")
            return message

        await app(scope, counted, send)

    return limited
