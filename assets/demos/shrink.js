// Chapter 4: the neighbours of a film, and what shrinkage makes of small overlaps.
(() => {
  const { make, fixed, readable } = LiveFigure;

  class Shrink extends LiveFigure {
    static title = "Similarity and overlap of all films with one";

    static compute({ n, w }, { kappa }) {
      const shrunk = w.map((each, item) => (n[item] / (n[item] + kappa)) * each);
      const order = [...n.keys()].sort((one, other) => shrunk[other] - shrunk[one] || one - other);
      const best = order.slice(0, 6);
      return { shrunk, best, overlaps: best.map((item) => n[item]), similarities: best.map((item) => shrunk[item]) };
    }

    start() {
      return { kappa: 0 };
    }

    build() {
      this.slider("kappa", "shrinkage κ", { min: 0, max: 100 });
      this.cloud = make("div");
      this.list = make("div");
      this.stage.classList.add("two");
      this.stage.append(this.cloud, this.list);
    }

    draw({ shrunk, best, overlaps, similarities }) {
      const { film, n, titles } = this.data;
      const wide = this.width > 33 * this.em;
      const [width, height, left, bottom] = [this.width * (wide ? 0.5 : 1) - (wide ? 0.8 * this.em : 0), 15 * this.em, 2.6 * this.em, 3 * this.em];
      const most = Math.max(...n);
      const x = (count) => left + (Math.log(count) / Math.log(most)) * (width - left - 0.5 * this.em);
      const y = (value) => 0.6 * this.em + ((1 - value) / 2) * (height - bottom - 0.6 * this.em);
      const dots = (items) => items.map((item) => `M${x(n[item]).toFixed(1)} ${y(shrunk[item]).toFixed(1)}h0`).join("");
      const dot = (items, colour, size, opacity) =>
        make("path", { d: dots(items), stroke: colour, "stroke-width": size, "stroke-linecap": "round", "stroke-opacity": opacity, fill: "none" });
      const ticks = [1, 3, 10, 30, 100, 300].filter((count) => count <= most);
      this.cloud.replaceChildren(
        make(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
          ...[-1, 0, 1].flatMap((value) => [
            make("line", { class: value ? "grid" : "axis", x1: left, x2: width, y1: y(value), y2: y(value) }),
            make("text", { x: left - 0.5 * this.em, y: y(value) + 0.3 * this.em, "text-anchor": "end" }, `${value}`.replace("-", "−")),
          ]),
          ...ticks.map((count) => make("text", { x: x(count), y: height - 1.7 * this.em, "text-anchor": "middle" }, `${count}`)),
          make("text", { class: "quiet", x: (left + width) / 2, y: height - 0.3 * this.em, "text-anchor": "middle" }, "raters in common"),
          dot([...n.keys()], "var(--a)", 4, 0.35),
          dot(best, "var(--b)", 10, 1),
        ),
      );
      const rows = best.map((item, place) =>
        make("tr", {}, make("td", {}, readable(titles[item] ?? `film ${item}`)), make("td", { class: "n" }, `${overlaps[place]}`), make("td", { class: "n" }, fixed(similarities[place], 3))),
      );
      const head = ["nearest six", "raters", "similarity"].map((name, place) => make("th", { class: place ? "n" : "", scope: "col" }, name));
      this.list.replaceChildren(make("table", { class: "small" }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)));
      const [low, high] = [Math.min(...overlaps), Math.max(...overlaps)];
      return `κ = ${this.state.kappa}: the six nearest to ${readable(film)} share ${low === high ? low : `${low} to ${high}`} of its raters.`;
    }
  }
  if (!customElements.get("live-shrink")) customElements.define("live-shrink", Shrink);
})();
