// Chapter 5: stars for ten films, three lists made from them, and which of the ten carry a recommendation.
(() => {
  const { make, fixed, readable } = LiveFigure;
  const PLACES = 10;
  const prepared = new WeakMap();

  /** Numbers that a cell wrote as base64 of so many bits each. */
  const numbers = (text, Kind) => new Kind(Uint8Array.from(atob(text), (each) => each.charCodeAt(0)).buffer);

  /** The data as numbers, and the part of each user's equations that all share, QᵀQ + λI: once a figure. */
  const prepare = (data) => {
    if (prepared.has(data)) return prepared.get(data);
    const titles = data.titles.split("|").map(readable);
    const Q = Float64Array.from(numbers(data.factors, Int16Array), (each) => each * data.unit);
    const size = Q.length / titles.length;
    const rows = titles.map((_, item) => Q.subarray(item * size, (item + 1) * size));
    const shared = Array.from({ length: size }, () => new Float64Array(size));
    for (const row of rows) add(shared, row, 1);
    for (let each = 0; each < size; each++) shared[each][each] += data.regularization;
    const raters = Array.from(numbers(data.raters, Uint16Array));
    const made = { titles, rows, shared, raters, popular: best(raters, raters.length, []), small: titles.map((title) => title.toLowerCase()) };
    prepared.set(data, made);
    return made;
  };

  /** A += weight · q qᵀ. */
  const add = (A, q, weight) => {
    for (let i = 0; i < q.length; i++) {
      const [row, scaled] = [A[i], weight * q[i]];
      for (let j = 0; j < q.length; j++) row[j] += scaled * q[j];
    }
  };
  const dot = (one, other) => one.reduce((total, each, place) => total + each * other[place], 0);

  /** x with A x = b, for a symmetric positive A: by its triangular factor. */
  const solver = (A) => {
    const L = A.map((row) => Float64Array.from(row));
    for (let i = 0; i < L.length; i++)
      for (let j = 0; j <= i; j++) {
        let left = L[i][j];
        for (let k = 0; k < j; k++) left -= L[i][k] * L[j][k];
        L[i][j] = i === j ? Math.sqrt(left) : left / L[j][j];
      }
    return (b) => {
      const x = Float64Array.from(b);
      for (let i = 0; i < x.length; i++) {
        for (let k = 0; k < i; k++) x[i] -= L[i][k] * x[k];
        x[i] /= L[i][i];
      }
      for (let i = x.length - 1; i >= 0; i--) {
        for (let k = i + 1; k < x.length; k++) x[i] -= L[k][i] * x[k];
        x[i] /= L[i][i];
      }
      return x;
    };
  };

  /** The items of the k largest scores, of equal ones the first, without some. */
  const best = (scores, k, without) => {
    const order = [...scores.keys()].filter((item) => !without.includes(item));
    return order.sort((one, other) => scores[other] - scores[one] || one - other).slice(0, k);
  };

  class RateTenFilms extends LiveFigure {
    static title = "Stars for ten films, and lists made from them";
    static style = `
      .sides { display: grid; grid-template-columns: minmax(0, 6fr) minmax(0, 7fr); gap: .8em 1.8em; align-items: start; }
      @container (max-width: 40em) { .sides { grid-template-columns: minmax(0, 1fr); } }
      .film { display: grid; grid-template-columns: minmax(0, 1fr) 4.6em 2.2em 3.4em; gap: .5em; align-items: center; border-top: 1px solid var(--soft); min-height: 28px; }
      .film.head { border: 0; } .film :is(b, output) { text-align: right; font-weight: 650; } .film.off :is(span, output) { color: var(--quiet); font-weight: 400; }
      .film span, .lists button, .lists li { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
      .film input { width: 4.6em; min-width: 0; height: 24px; margin: 0; } .film b { color: var(--b); }
      .lists { display: grid; grid-template-columns: repeat(auto-fit, minmax(0, 1fr)); grid-auto-flow: column; gap: 1.2em; }
      .lists p { margin: 0; font-weight: 650; line-height: 28px; } .lists p, .lists li { padding: 0 .4em; } .lists ol { padding: 0; list-style: none; }
      .lists li { line-height: 28px; } .lists li:has(button) { padding: 0; }
      .lists button { width: 100%; padding: 0 .4em; border-color: transparent; text-align: left; line-height: 26px; }
      @container (max-width: 40em) { .lists :is(button, li) { line-height: 1.3; white-space: normal; } .lists li { padding-block: .15em; } }
      ::placeholder { color: var(--quiet); opacity: 1; } .found { display: flex; flex-wrap: wrap; gap: .3em; } .says { min-height: 2.8em; }
      .lists .too { color: var(--c); font-weight: 650; }
    `;

    static compute(data, { films, stars, chosen }) {
      const { rows, shared, raters, popular } = prepare(data);
      const rated = films.map((item, place) => [item, stars[place]]).filter(([, given]) => given > 0);
      const known = rated.map(([item]) => item);
      const lists = { popularity: popular.filter((item) => !known.includes(item)).slice(0, PLACES), als: [] };
      if (!rated.length) return { ...lists, scores: [], carried: [] };
      const A = shared.map((row) => Float64Array.from(row));
      const b = new Float64Array(A.length);
      for (const [item, given] of rated) {
        add(A, rows[item], data.alpha * given);
        rows[item].forEach((each, place) => (b[place] += (1 + data.alpha * given) * each));
      }
      const solve = solver(A);
      const p = solve(b);
      const scores = rows.map((row) => dot(p, row));
      lists.als = best(scores, PLACES, known);
      const towards = chosen < 0 ? null : solve(rows[lists.als[chosen]]); // her score of a film is a sum over what she rated
      const carried = rated.map(([item, given]) => (towards ? (1 + data.alpha * given) * dot(towards, rows[item]) : 0));
      return { ...lists, scores: lists.als.map((item) => scores[item]), carried };
    }

    start() {
      return { films: [...this.data.films], stars: [...this.data.stars], chosen: 0, query: "" };
    }

    build() {
      this.known = prepare(this.data);
      const search = make("input", { type: "search", "aria-label": "Search another film", placeholder: "another film", oninput: () => this.set({ query: search.value }) });
      this.search = search;
      this.found = make("div", { class: "found" });
      this.controls.append(search, this.found);
      this.rows = this.data.films.map((_, place) => {
        const row = { title: make("span"), stars: make("output", { "aria-hidden": "true" }), carried: make("b") };
        row.input = make("input", { type: "range", min: 0, max: 5, oninput: () => this.rate(place, Number(row.input.value)) });
        row.line = make("div", { class: "film" }, row.title, row.input, row.stars, row.carried);
        return row;
      });
      const head = make("div", { class: "film head small quiet" }, ...["your films", "stars", "", "carries"].map((words, place) => make(place === 3 ? "b" : "span", {}, words)));
      this.places = [...Array(PLACES).keys()].map((place) => make("button", { type: "button", onclick: () => this.set({ chosen: this.state.chosen === place ? -1 : place }) }));
      this.lists = { als: make("ol", {}, ...this.places.map((button) => make("li", {}, button))), popularity: make("ol") };
      const names = { als: "implicit ALS", popularity: "most rated" };
      const lists = Object.entries(this.lists).map(([key, list]) => make("div", { class: "small" }, make("p", {}, names[key]), list));
      this.stage.append(make("div", { class: "sides" }, make("div", {}, head, ...this.rows.map(({ line }) => line)), make("div", { class: "lists" }, ...lists)));
    }

    rate(place, given) {
      this.set({ stars: this.state.stars.map((each, other) => (other === place ? given : each)) });
    }

    /** A film that was searched takes the first row without stars, or else the last one. */
    take(item) {
      const free = this.state.stars.indexOf(0);
      const place = this.state.films.includes(item) ? this.state.films.indexOf(item) : free < 0 ? this.state.films.length - 1 : free;
      const put = (list, value) => list.map((each, other) => (other === place ? value : each));
      this.set({ films: put(this.state.films, item), stars: put(this.state.stars, 5), query: "" });
      this.rows[place].input.focus();
    }

    draw({ als, popularity, scores, carried }) {
      const { titles, small, raters } = this.known;
      const { films, stars, chosen, query } = this.state;
      if (this.search.value !== query) this.search.value = query;
      const words = query.trim().toLowerCase();
      const hits = words ? [...titles.keys()].filter((item) => small[item].includes(words)).sort((one, other) => raters[other] - raters[one]).slice(0, 3) : [];
      this.found.replaceChildren(...hits.map((item) => make("button", { type: "button", class: "small", onclick: () => this.take(item) }, titles[item])));
      if (words && !hits.length) this.found.append(make("span", { class: "small quiet" }, "no such title"));
      let next = 0;
      const parts = [];
      this.rows.forEach((row, place) => {
        const [title, given] = [titles[films[place]], stars[place]];
        row.title.textContent = row.title.title = title;
        row.input.value = given;
        row.input.setAttribute("aria-label", `stars for ${title}`);
        row.input.setAttribute("aria-valuetext", given ? `${given} stars` : "not seen");
        row.stars.textContent = given ? `${given} ★` : "–";
        row.line.classList.toggle("off", !given);
        row.carried.textContent = "";
        if (!given) return;
        const value = carried[next++];
        if (chosen >= 0) row.carried.textContent = fixed(value, 2).replace("-", "−");
        parts.push([value, title]);
      });
      this.places.forEach((button, place) => {
        button.hidden = place >= als.length;
        button.textContent = button.title = titles[als[place]] ?? "";
        button.setAttribute("aria-pressed", place === chosen);
      });
      this.lists.popularity.replaceChildren(...popularity.map((item) => make("li", { title: titles[item], class: als.includes(item) ? "too" : "" }, titles[item])));
      if (!als.length) return "Give a film some stars. Until then everybody gets the same list.";
      const both = popularity.filter((item) => als.includes(item)).length;
      const shared = `${both} of the ten are among the most rated, too.`;
      if (chosen < 0) return `Press a film of the list to see what carries it. ${shared}`;
      const [[value, title]] = parts.sort((one, other) => other[0] - one[0]);
      return `${titles[als[chosen]]} has the score ${fixed(scores[chosen], 2)}; most of it, ${fixed(value, 2)}, comes from ${title}. ${shared}`;
    }
  }
  if (!customElements.get("live-rate-ten-films")) customElements.define("live-rate-ten-films", RateTenFilms);
})();
