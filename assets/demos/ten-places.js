// Chapter 3: a list of ten places, which of them hit, and what each metric makes of it.
(() => {
  const { make, fixed } = LiveFigure;
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const METRICS = {
    precision: "precision@10",
    recall: "recall@10",
    rr: "reciprocal rank",
    min: "AP ÷ min(10, relevant)",
    relevant: "AP ÷ relevant",
    hits: "AP ÷ hits",
    ndcg: "NDCG@10",
  };

  class TenPlaces extends LiveFigure {
    static title = "Ten places of a list, and seven metrics";
    static style = `
      .says { min-height: 2.8em; }
      .places { display: grid; grid-template-columns: repeat(10, minmax(0, 1fr)); gap: .25em; margin-bottom: .7em; }
      .places button { padding: .35em 0; }
      @container (max-width: 24em) { .places { grid-template-columns: repeat(5, 1fr); } }
      .metric { display: grid; grid-template-columns: 11.5em 1fr 3em 4.2em; gap: .6em; align-items: center; }
      @container (max-width: 33em) { .metric { grid-template-columns: 1fr 3em 4.2em; } .metric .bar { grid-row: 2; grid-column: 1 / -1; } }
      .bar { position: relative; height: .8em; background: var(--tint); border-radius: 2px; }
      .bar i { position: absolute; inset: 0 auto 0 0; background: var(--a); border-radius: 2px; }
      .bar b { position: absolute; top: -.2em; bottom: -.2em; width: 3px; background: var(--b); }
      .metric output { text-align: right; font-weight: 650; } .moved { color: var(--b); font-weight: 650; }
    `;

    static compute(data, { hits, relevant }) {
      const found = sum(hits);
      const discounts = hits.map((_, place) => 1 / Math.log2(place + 2));
      const ideal = sum(discounts.slice(0, Math.min(hits.length, relevant)));
      const precisions = sum(hits.map((hit, place) => (hit * sum(hits.slice(0, place + 1))) / (place + 1)));
      return {
        precision: found / hits.length,
        recall: found / relevant,
        rr: found ? 1 / (hits.indexOf(1) + 1) : 0,
        min: precisions / Math.min(hits.length, relevant),
        relevant: precisions / relevant,
        hits: found ? precisions / found : 0,
        ndcg: sum(hits.map((hit, place) => hit * discounts[place])) / ideal,
      };
    }

    start() {
      return { hits: [...this.data.hits], relevant: this.data.relevant, before: null };
    }

    build() {
      this.slider("relevant", "relevant items", { min: 1, max: 20 });
      this.places = this.data.hits.map((_, place) =>
        make("button", { type: "button", onclick: () => this.turn(place), onkeydown: (event) => this.walk(event, place) }, `${place + 1}`),
      );
      this.rows = Object.entries(METRICS).map(([key, name]) => {
        const row = { key, fill: make("i"), before: make("b"), value: make("output", { "aria-label": name }), moved: make("span", { class: "moved" }) };
        row.line = make("div", { class: "metric" }, make("span", {}, name), make("div", { class: "bar" }, row.fill, row.before), row.value, row.moved);
        return row;
      });
      const group = make("div", { class: "places", role: "group", "aria-label": "Places of the list: press one to make it hit" }, ...this.places);
      this.stage.append(group, ...this.rows.map((row) => row.line));
    }

    set(changes) {
      const before = changes.before === null ? null : this.constructor.compute(this.data, this.state);
      const { hits, relevant } = { ...this.state, ...changes };
      super.set({ hits, relevant: Math.max(relevant, sum(hits)), before }); // a hit is relevant
    }

    turn(place) {
      this.set({ hits: this.state.hits.map((hit, each) => (each === place ? 1 - hit : hit)) });
    }

    walk(event, place) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (step) this.places[(place + step + 10) % 10].focus();
    }

    draw(values) {
      const { hits, before } = this.state;
      const found = sum(hits);
      this.places.forEach((button, place) => {
        button.setAttribute("aria-pressed", hits[place] === 1);
        button.setAttribute("aria-label", `place ${place + 1}, ${hits[place] ? "a hit" : "no hit"}`);
      });
      const moved = [];
      for (const row of this.rows) {
        const change = before ? values[row.key] - before[row.key] : 0;
        row.fill.style.width = `${100 * values[row.key]}%`;
        row.before.style.left = `calc(${100 * (before ?? values)[row.key]}% - 1px)`;
        row.before.style.display = before ? "" : "none";
        row.value.textContent = fixed(values[row.key], 3);
        row.moved.textContent = Math.abs(change) < 5e-4 ? "" : `${change > 0 ? "+" : "−"}${fixed(Math.abs(change), 3)}`;
        if (row.moved.textContent) moved.push(METRICS[row.key]);
      }
      if (!before) return `${found} hits of ${this.state.relevant} relevant items. Press a place to make it hit, or miss.`;
      if (!moved.length) return "No metric moved.";
      const still = Object.values(METRICS).filter((name) => !moved.includes(name));
      return `${moved.length} of ${this.rows.length} metrics moved.${still.length ? ` Not moved: ${still.join(", ")}.` : ""}`;
    }
  }
  if (!customElements.get("live-ten-places")) customElements.define("live-ten-places", TenPlaces);
})();
