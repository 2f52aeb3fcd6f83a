// Chapter 6: films as points, the nearest of one, and a turn and a stretch of the axes that change no prediction.
(() => {
  const { make, fixed, readable } = LiveFigure;
  const NEAR = 5;
  const dot = (one, other) => one.reduce((total, each, place) => total + each * other[place], 0);
  const decoded = new WeakMap();

  /** Vectors of the films and of one user, `unit` times whole numbers of 16 bits. */
  const vectors = (data) => {
    if (!decoded.has(data)) {
      const whole = new Int16Array(Uint8Array.from(atob(data.vectors), (each) => each.charCodeAt(0)).buffer);
      const all = Array.from(whole, (each) => each * data.unit);
      decoded.set(data, Array.from({ length: all.length / data.factors }, (_, row) => all.slice(row * data.factors, (row + 1) * data.factors)));
    }
    return decoded.get(data);
  };

  /** Turn the first four axes by an angle, first against third and second against fourth; then stretch the first two. */
  const moved = (vector, turn, stretch) => {
    const [cosine, sine] = [Math.cos((turn * Math.PI) / 180), Math.sin((turn * Math.PI) / 180)];
    const [a, b, c, d, ...rest] = vector;
    return [(cosine * a + sine * c) * stretch, (cosine * b + sine * d) * stretch, cosine * c - sine * a, cosine * d - sine * b, ...rest];
  };

  class MapOfFilms extends LiveFigure {
    static title = "A map of films, and the nearest of one";
    static style = `
      ::placeholder { color: var(--quiet); opacity: 1; }
      .near td:first-child { overflow-wrap: anywhere; } .near .new { color: var(--b); font-weight: 650; }
      svg .name { paint-order: stroke; stroke: var(--bg); stroke-width: 4px; } svg .own { font-weight: 650; }
    `;

    static compute(data, { film, turn, stretch }) {
      const [user, ...films] = vectors(data);
      const near = (all) => {
        const lengths = all.map((each) => Math.sqrt(dot(each, each)));
        const cosines = all.map((each, other) => dot(each, all[film]) / (lengths[other] * lengths[film]));
        const order = [...all.keys()].filter((other) => other !== film).sort((one, other) => cosines[other] - cosines[one] || one - other);
        return order.slice(0, NEAR).map((other) => [other, cosines[other]]);
      };
      const now = films.map((each) => moved(each, turn, stretch));
      const nearest = near(now);
      const before = near(films).map(([other]) => other);
      return {
        nearest: nearest.map(([other]) => other),
        cosines: nearest.map(([, cosine]) => cosine),
        kept: nearest.filter(([other]) => before.includes(other)).length,
        score: dot(moved(user, turn, 1 / stretch), now[film]),
        before: dot(user, films[film]),
        places: now.flatMap(([x, y]) => [x, y]),
      };
    }

    start() {
      return { film: this.data.film, turn: 0, stretch: 1, query: "" };
    }

    build() {
      this.titles = this.data.titles.split("|").map(readable);
      const oninput = () => {
        const words = search.value.trim().toLowerCase();
        const hits = [...this.titles.keys()].filter((item) => words && this.titles[item].toLowerCase().includes(words));
        this.set({ query: search.value, film: hits[0] ?? this.state.film });
      };
      const search = make("input", { type: "search", "aria-label": "Search a film", placeholder: "search a film", oninput });
      this.search = search;
      this.controls.append(search);
      this.slider("turn", "turn", { min: 0, max: 180, step: 5, written: (value) => `${value}°` });
      this.slider("stretch", "stretch", { min: 1, max: 4, step: 0.1, written: (value) => fixed(value, 1) });
      this.map = make("div");
      this.list = make("div");
      this.stage.classList.add("two");
      this.stage.append(this.map, this.list);
    }

    draw({ nearest, cosines, kept, score, before, places }) {
      const { em, titles } = this;
      const { film, turn, stretch, query } = this.state;
      if (this.search.value !== query) this.search.value = query;
      const wide = this.width > 33 * em;
      const [width, height] = [this.width * (wide ? 0.5 : 1) - (wide ? 0.8 * em : 0), 14 * em];
      const reach = Math.max(...places.map(Math.abs)) * 1.05;
      const x = (item) => width / 2 + (places[2 * item] / reach) * (width / 2);
      const y = (item) => height / 2 - (places[2 * item + 1] / reach) * (height / 2);
      const dots = (items) => items.map((item) => `M${x(item).toFixed(1)} ${y(item).toFixed(1)}h0`).join("");
      const cloud = (items, colour, size, opacity = 1) =>
        make("path", { d: dots(items), stroke: colour, "stroke-width": size, "stroke-opacity": opacity, "stroke-linecap": "round", fill: "none" });
      const side = x(film) > width / 2;
      this.map.replaceChildren(
        make(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
          make("path", { class: "grid", d: `M0 ${height / 2}H${width}M${width / 2} 0V${height}` }),
          cloud([...titles.keys()], "var(--a)", 4, 0.4),
          cloud(nearest, "var(--b)", 9),
          cloud([film], "var(--ink)", 12),
          make("text", { class: "name own", x: x(film) + (side ? -0.7 : 0.7) * em, y: y(film) + 0.3 * em, "text-anchor": side ? "end" : "start" }, titles[film]),
        ),
      );
      const fresh = this.first?.film === film ? this.first.nearest : (this.first = { film, nearest: this.constructor.compute(this.data, { film, turn: 0, stretch: 1 }).nearest }).nearest;
      const rows = nearest.map((other, place) =>
        make("tr", {}, make("td", { class: fresh.includes(other) ? "" : "new" }, titles[other]), make("td", { class: "n" }, fixed(cosines[place], 3))),
      );
      const head = [`nearest to ${titles[film]}`, "cosine"].map((name, place) => make("th", { class: place ? "n" : "", scope: "col" }, name));
      const user = make("p", { class: "small" }, `Product with one user's vector: ${fixed(score, 3)}; before the change ${fixed(before, 3)}.`);
      this.list.replaceChildren(make("table", { class: "small near" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)), user);
      if (query && !titles[film].toLowerCase().includes(query.trim().toLowerCase())) return `No film of the map has “${query}” in its title.`;
      if (!turn && stretch === 1) return "Turn the axes, then stretch two of them. The users' vectors are changed so that no prediction moves.";
      const change = [turn ? `Turned by ${turn}°` : "", stretch > 1 ? `${turn ? "stretched" : "Stretched"} by ${fixed(stretch, 1)}` : ""].filter(Boolean).join(" and ");
      return `${change}: ${kept} of the five nearest are the same, and the product is ${fixed(score, 3)} as before.`;
    }
  }
  if (!customElements.get("live-map-of-films")) customElements.define("live-map-of-films", MapOfFilms);
})();
