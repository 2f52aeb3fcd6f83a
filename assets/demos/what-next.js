// Chapter 18: the last twenty films of one person; how much each place of them reads each other place, and what is named next.
(() => {
  const { make, fixed, readable } = LiveFigure;
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const dot = (one, other) => sum(one.map((each, place) => each * other[place]));
  const decoded = new WeakMap();

  /** Vectors of the films and of the places, norm, query and key: `unit` times whole numbers of 16 bits. */
  const parts = (data) => {
    if (!decoded.has(data)) {
      const whole = new Int16Array(Uint8Array.from(atob(data.learned), (each) => each.charCodeAt(0)).buffer);
      const all = Array.from(whole, (each) => each * data.unit);
      const take = (rows) => Array.from({ length: rows }, () => all.splice(0, data.factors));
      decoded.set(data, { films: take(data.length), places: take(data.length), norm: take(2), query: take(data.factors + 1), key: take(data.factors + 1) });
    }
    return decoded.get(data);
  };

  /** Mean 0 and variance 1, then a factor and a summand for each entry. */
  const normalised = (vector, [factors, summands]) => {
    const mean = sum(vector) / vector.length;
    const spread = Math.sqrt(sum(vector.map((each) => (each - mean) ** 2)) / vector.length + 1e-5);
    return vector.map((each, place) => ((each - mean) / spread) * factors[place] + summands[place]);
  };

  /** W x + b: the last row is b. */
  const linear = (rows, vector) => rows.at(-1).map((summand, place) => dot(rows[place], vector) + summand);

  class WhatNext extends LiveFigure {
    static title = "Attention over a history";
    static style = `
      .history { display: grid; grid-template-rows: repeat(10, auto); grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); gap: 0 1.6em; }
      @container (max-width: 33em) { .history { grid-template-rows: none; grid-auto-flow: row; } }
      .film { display: grid; grid-template-columns: 1.5em minmax(0, 1fr) 5em 2.9em; gap: .5em; align-items: center; border-top: 1px solid var(--soft); line-height: 1.35; }
      .film span { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; } .film :is(b, output) { text-align: right; font-weight: 400; }
      .film.now :is(b, span) { font-weight: 650; color: var(--c); } .film.hidden { color: var(--quiet); }
      .bar { position: relative; height: .8em; background: var(--tint); border-radius: 2px; }
      .bar i { position: absolute; inset: 0 auto 0 0; background: var(--a); border-radius: 2px; } .film.later .bar i { background: var(--b); }
      .bar u { position: absolute; top: -.15em; bottom: -.15em; width: 2px; background: var(--ink); } .film.hidden u { display: none; }
      .named { margin: .4em 0 0; } .says { margin-top: .3em; min-height: 2.8em; } .named .new { color: var(--b); font-weight: 650; }
      @container (max-width: 33em) { .named { min-height: 4.2em; } }
    `;

    static compute(data, { place, swap, reversed, mask }) {
      const { films, places, norm, query, key } = parts(data);
      const order = [...films.keys()];
      if (reversed) order.reverse();
      [order[0], order[swap - 1]] = [order[swap - 1], order[0]];
      const inputs = order.map((film, at) => normalised(films[film].map((each, entry) => each + places[at][entry]), norm));
      const asks = linear(query, inputs[place - 1]);
      const scores = inputs.map((input, at) => (mask && at >= place ? -Infinity : dot(asks, linear(key, input)) / Math.sqrt(data.factors)));
      const most = Math.max(...scores);
      const shares = scores.map((score) => Math.exp(score - most));
      const weights = shares.map((share) => share / sum(shares));
      const named = place === order.length ? data.named[reversed * order.length + swap - 1] : [];
      return { order, weights, later: sum(weights.slice(place)), named };
    }

    start() {
      return { place: this.data.length, swap: 1, reversed: false, mask: true };
    }

    build() {
      const { length, titles } = this.data;
      this.titles = titles.split("|").map(readable);
      this.slider("place", "place that reads", { min: 1, max: length });
      this.slider("swap", "swap film 1 with", { min: 1, max: length, written: (value) => (value > 1 ? `${value}` : "none") });
      this.choice("reversed", "order", [[false, "as rated"], [true, "reversed"]]);
      this.choice("mask", "mask", [[true, "on"], [false, "off"]]);
      this.rows = Array.from({ length }, (_, at) => {
        const row = { title: make("span"), fill: make("i"), alike: make("u"), value: make("output", { "aria-hidden": "true" }) };
        row.line = make("div", { class: "film small" }, make("b", {}, `${at + 1}`), row.title, make("div", { class: "bar" }, row.fill, row.alike), row.value);
        return row;
      });
      this.named = make("p", { class: "named" });
      this.stage.append(make("div", { class: "history" }, ...this.rows.map(({ line }) => line)), this.named);
    }

    draw({ order, weights, later, named }) {
      const { titles } = this;
      const { place, mask } = this.state;
      const { length } = this.data;
      const most = Math.max(...weights);
      const seen = mask ? place : length;
      this.rows.forEach((row, at) => {
        row.line.className = `film small${at === place - 1 ? " now" : at >= seen ? " hidden" : at >= place ? " later" : ""}`;
        row.title.textContent = row.title.title = titles[order[at]];
        row.fill.style.width = `${(100 * weights[at]) / most}%`;
        row.alike.style.left = `calc(${100 / (seen * most)}% - 1px)`;
        row.value.textContent = at < seen ? fixed(weights[at], 3) : "–";
      });
      const own = this.data.named[0];
      const words = named.flatMap((film, at) => [at ? "; " : "", make("span", { class: own.includes(film) ? "" : "new" }, titles[film])]);
      this.named.replaceChildren(...(named.length ? ["Named next: ", ...words, "."] : ["Films are named at the last place."]));
      const best = weights.indexOf(most);
      const reads = best === place - 1 ? "itself" : titles[order[best]];
      const only = seen === 1 ? "can read nothing but itself." : `reads ${reads} most: ${fixed(most, 3)}; if all counted alike, ${fixed(1 / seen, 3)} (the marks).`;
      const future = mask ? "" : place < length ? ` Places after it have ${fixed(later, 3)} together.` : " After it comes nothing that a mask could hide.";
      const kept = named.filter((film) => own.includes(film)).length;
      const moved = order.some((film, at) => film !== at) && named.length;
      const same = moved ? ` Of the five in her own order ${kept || "none"} ${kept > 1 ? "are" : "is"} named.` : "";
      return `Place ${place}, ${titles[order[place - 1]]}, ${only}${future}${same}`;
    }
  }
  if (!customElements.get("live-what-next")) customElements.define("live-what-next", WhatNext);
})();
