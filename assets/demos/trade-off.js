// Chapter 12: MMR on one person's shortlist, from relevance alone to variety alone.
(() => {
  const { make, fixed, readable } = LiveFigure;

  /** Maximal marginal relevance: each next item is worth its relevance less its largest similarity with the list. */
  const mmr = (scores, alike, k, tradeOff) => {
    const [list, closest] = [[], scores.map(() => 0)];
    for (let place = 0; place < k; place++) {
      let best = -1;
      const value = (item) => (place ? tradeOff * scores[item] - (1 - tradeOff) * closest[item] : scores[item]);
      for (const item of scores.keys()) if (!list.includes(item) && (best < 0 || value(item) > value(best))) best = item;
      list.push(best);
      scores.forEach((_, item) => (closest[item] = place ? Math.max(closest[item], alike[best][item]) : alike[best][item]));
    }
    return list;
  };
  const mean = (numbers) => numbers.reduce((total, each) => total + each, 0) / numbers.length;

  class TradeOff extends LiveFigure {
    static title = "A list of ten films between relevance and variety";
    static style = `li.in { color: var(--b); font-weight: 650; } li.in::after { content: " ← new"; font-weight: 400; }`;

    static compute({ scores, alike }, { tradeOff }) {
      const list = mmr(scores, alike, 10, tradeOff);
      const pairs = list.flatMap((one, place) => list.slice(place + 1).map((other) => alike[one][other]));
      return { list, relevance: mean(list.map((item) => scores[item])), diversity: 1 - mean(pairs) };
    }

    start() {
      return { tradeOff: 1 };
    }

    build() {
      this.slider("tradeOff", "trade-off τ", { min: 0, max: 1, step: 0.01, written: (value) => fixed(value, 2) });
      this.curve = [...Array(101).keys()].map((each) => this.constructor.compute(this.data, { tradeOff: each / 100 }));
      this.list = make("ol", { class: "small" });
      this.chart = make("div");
      this.stage.classList.add("two");
      this.stage.append(this.list, this.chart);
    }

    draw({ list, relevance, diversity }) {
      const { em } = this;
      this.list.replaceChildren(...list.map((item) => make("li", { class: item < 10 ? "" : "in" }, readable(this.data.titles[item]))));
      const wide = this.width > 33 * em;
      const [width, height, left] = [this.width * (wide ? 0.5 : 1) - (wide ? 0.8 * em : 0), 15 * em, 3.6 * em];
      const ranges = ["diversity", "relevance"].map((key) => this.curve.map((each) => each[key]));
      const [[low, high], [least, most]] = ranges.map((values) => [Math.min(...values), Math.max(...values)]);
      const x = (value) => left + ((value - low) / (high - low)) * (width - left - em);
      const y = (value) => em + ((most - value) / (most - least)) * (height - 4.2 * em);
      const points = this.curve.map((each) => `${x(each.diversity).toFixed(1)},${y(each.relevance).toFixed(1)}`).join(" ");
      const text = (attributes, words) => make("text", attributes, words);
      this.chart.replaceChildren(
        make(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
          make("path", { class: "axis", d: `M${left} ${0.4 * em}V${height - 2.6 * em}H${width}` }),
          ...[least, most].map((value) => text({ x: left - 0.8 * em, y: y(value) + 0.3 * em, "text-anchor": "end" }, fixed(value, 2))),
          text({ x: x(low), y: height - 1.5 * em }, fixed(low, 2)),
          text({ x: x(high), y: height - 1.5 * em, "text-anchor": "end" }, fixed(high, 2)),
          text({ class: "quiet", x: left + 0.5 * em, y: 0.9 * em }, "↑ mean relevance"),
          text({ class: "quiet", x: width, y: height - 0.2 * em, "text-anchor": "end" }, "list diversity →"),
          make("polyline", { points, fill: "none", stroke: "var(--a)", "stroke-width": 2 }),
          make("circle", { cx: x(diversity), cy: y(relevance), r: 0.5 * em, fill: "var(--b)" }),
        ),
      );
      const fresh = list.filter((item) => item >= 10).length;
      return `τ = ${fixed(this.state.tradeOff, 2)}: mean relevance ${fixed(relevance, 3)}, list diversity ${fixed(diversity, 3)}; ${fresh} of the ten most relevant gave way.`;
    }
  }
  if (!customElements.get("live-trade-off")) customElements.define("live-trade-off", TradeOff);
})();
