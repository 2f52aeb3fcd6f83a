// Chapter 14: urns of nine items. Who draws is drawn to some places of the axis, and what was drawn before is drawn again.
(() => {
  const { make, fixed } = LiveFigure;
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const mean = (numbers) => sum(numbers) / numbers.length;
  const decoded = new WeakMap();

  /** Chances in thousandths, three a draw: of the taste, of exploring, of the item; worlds × draws × 3. */
  const chances = (data) => {
    if (!decoded.has(data)) {
      const whole = new Uint16Array(Uint8Array.from(atob(data.luck), (each) => each.charCodeAt(0)).buffer);
      decoded.set(data, Array.from(whole, (each) => (each + 0.5) / 1000));
    }
    return decoded.get(data);
  };

  class TheLoop extends LiveFigure {
    static title = "Items on an axis, and the share of the draws that each got in six worlds";
    static style = `@container (max-width: 33em) { .says { min-height: 4.2em; } } .stage p { margin: .4em 0 0; }`;

    static compute(data, { appetite, exploration }) {
      const { positions, worlds } = data;
      const luck = chances(data);
      const draws = luck.length / worlds / 3;
      const closeness = (taste, x) => Math.exp(-((x - taste) ** 2) / 0.18);
      const balls = Array.from({ length: worlds }, () => positions.map(() => 1));
      const worth = [];
      for (let world = 0; world < worlds; world++)
        for (let draw = 0; draw < draws; draw++) {
          const [own, explores, pick] = luck.slice(3 * (world * draws + draw), 3 * (world * draws + draw) + 3);
          const taste = own - 0.5;
          const urn = explores < exploration ? positions.map(() => 1) : balls[world];
          const weights = positions.map((x, item) => urn[item] * closeness(taste, x) * (1 + appetite * Math.abs(x)));
          let [item, left] = [0, pick * sum(weights)];
          while (item < positions.length - 1 && left >= weights[item]) left -= weights[item++];
          balls[world][item]++;
          worth.push(closeness(taste, positions[item]));
        }
      const shares = balls.map((urn) => urn.map((count) => (count - 1) / draws));
      const means = positions.map((_, item) => mean(shares.map((each) => each[item])));
      const apart = positions.map((_, item) => Math.sqrt(mean(shares.map((each) => (each[item] - means[item]) ** 2))));
      return { shares: shares.flat(), means, luck: mean(apart), extremity: sum(means.map((share, item) => share * Math.abs(positions[item]))), worth: mean(worth) };
    }

    start() {
      return { appetite: 0, exploration: 0 };
    }

    build() {
      this.slider("appetite", "appetite ψ", { min: 0, max: 4, step: 0.1, written: (value) => fixed(value, 1) });
      this.slider("exploration", "exploration", { min: 0, max: 1, step: 0.05, written: (value) => `${fixed(100 * value, 0)} %` });
      this.chart = make("div");
      this.stage.append(this.chart, make("p", { class: "small quiet" }, "Dots: six worlds. Bars: their mean. Tastes lie between −0.5 and 0.5."));
    }

    draw({ shares, means, luck, extremity, worth }) {
      const { em, width } = this;
      const { positions } = this.data;
      const [height, left] = [15 * em, 3 * em];
      const floor = height - 2.6 * em;
      const most = 0.6;
      const x = (place) => left + ((place + 1.12) / 2.24) * (width - left);
      const y = (share) => floor - (Math.min(share, most) / most) * (floor - 1.8 * em);
      const bar = 0.17 * (width - left) / 2.24;
      const marks = shares.map((share, place) => `M${x(positions[place % positions.length]).toFixed(1)} ${y(share).toFixed(1)}h0`).join("");
      const text = (attributes, words) => make("text", attributes, words);
      this.chart.replaceChildren(
        this.picture(
          height,
          ...[0.2, 0.4, 0.6].flatMap((share) => [
            make("line", { class: "grid", x1: left, x2: width, y1: y(share), y2: y(share) }),
            text({ x: left - 0.5 * em, y: y(share) + 0.3 * em, "text-anchor": "end" }, `${fixed(100 * share, 0)} %`),
          ]),
          ...means.map((share, item) => make("rect", { x: x(positions[item]) - bar / 2, width: bar, y: y(share), height: floor - y(share), fill: "var(--a)", "fill-opacity": 0.45 })),
          make("path", { d: marks, stroke: "var(--b)", "stroke-width": 0.5 * em, "stroke-linecap": "round", fill: "none" }),
          make("line", { class: "axis", x1: left, x2: width, y1: floor, y2: floor }),
          ...[-1, -0.5, 0, 0.5, 1].map((place) => text({ x: x(place), y: floor + 1.1 * em, "text-anchor": "middle" }, `${place}`.replace("-", "−"))),
          text({ class: "quiet", x: (left + width) / 2, y: height - 0.2 * em, "text-anchor": "middle" }, "place of the item"),
          text({ class: "quiet", x: left + 0.3 * em, y: 0.9 * em }, "↑ share of the draws"),
        ),
      );
      return `Worlds apart by ${fixed(luck, 3)} (sd of a share). Mean distance from the middle ${fixed(extremity, 3)}, mean worth ${fixed(worth, 3)}.`;
    }
  }
  if (!customElements.get("live-the-loop")) customElements.define("live-the-loop", TheLoop);
})();
