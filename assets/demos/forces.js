// Chapter 10: four scores, and how each loss pushes them: minus its gradient.
(() => {
  const { make, fixed } = LiveFigure;
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const softplus = (x) => (x > 30 ? x : Math.log1p(Math.exp(x)));
  const sigmoid = (x) => 1 / (1 + Math.exp(-x));
  const softmax = (scores) => {
    const powers = scores.map((each) => Math.exp(each - Math.max(...scores)));
    return powers.map((each) => each / sum(powers));
  };
  const signed = (value, digits) => (value < 0 ? "" : "+") + fixed(value, digits);

  /** Each item's place in the list, from 0. */
  const placed = (scores) => {
    const order = [...scores.keys()].sort((one, other) => scores[other] - scores[one] || one - other);
    return scores.map((_, item) => order.indexOf(item));
  };

  /** A loss of pairs, the better item first: `pair(lead, i, j)` gives what the pair costs and its push. */
  const pairs = (scores, relevance, pair) => {
    const push = scores.map(() => 0);
    let loss = 0;
    for (const i of scores.keys())
      for (const j of scores.keys())
        if (relevance[i] > relevance[j]) {
          const [cost, force] = pair(scores[i] - scores[j], i, j);
          loss += cost;
          push[i] += force;
          push[j] -= force;
        }
    return { loss, push };
  };

  const LOSSES = {
    hinge: (scores, relevance) => pairs(scores, relevance, (lead) => [Math.max(0, 1 - lead), lead < 1 ? 1 : 0]),
    RankNet: (scores, relevance) => pairs(scores, relevance, (lead) => [softplus(-lead), sigmoid(-lead)]),
    LambdaRank: (scores, relevance) => {
      const gains = relevance.map((grade) => 2 ** grade - 1);
      const discounts = placed(scores).map((place) => 1 / Math.log2(place + 2));
      const sorted = gains.toSorted((one, other) => other - one);
      const ideal = sum(sorted.map((gain, place) => gain / Math.log2(place + 2)));
      return pairs(scores, relevance, (lead, i, j) => {
        const change = Math.abs((gains[i] - gains[j]) * (discounts[i] - discounts[j])) / ideal;
        return [change * softplus(-lead), change * sigmoid(-lead)];
      });
    },
    ListNet: (scores, relevance) => {
      const [target, found] = [softmax(relevance), softmax(scores)];
      return { loss: -sum(target.map((share, item) => share * Math.log(found[item]))), push: target.map((share, item) => share - found[item]) };
    },
    ListMLE: (scores, relevance) => {
      const order = [...scores.keys()].sort((one, other) => relevance[other] - relevance[one]);
      const push = scores.map(() => 0);
      let loss = 0;
      for (const place of order.keys()) {
        const left = order.slice(place);
        const shares = softmax(left.map((item) => scores[item]));
        loss -= Math.log(shares[0]);
        push[left[0]] += 1;
        left.forEach((item, each) => (push[item] -= shares[each]));
      }
      return { loss, push };
    },
  };

  class Forces extends LiveFigure {
    static title = "Four scores on a line, and the push of a loss on each";
    static style = `
      svg .item { fill: var(--bg); stroke: var(--ink); stroke-width: 2; } svg .item + text { font-weight: 650; }
      svg .up { stroke: var(--a); fill: none; stroke-width: 4; } svg .down { stroke: var(--b); fill: none; stroke-width: 4; }
    `;

    static compute(data, { scores, loss }) {
      const found = LOSSES[loss](scores, data.relevance);
      return { ...found, places: placed(scores).map((place) => place + 1) };
    }

    start() {
      return { scores: [...this.data.scores], loss: "RankNet" };
    }

    build() {
      this.choice("loss", "loss", Object.keys(LOSSES).map((name) => [name, name]));
      this.items = this.data.scores.map((_, item) => {
        const parts = { line: make("line", { class: "grid" }), name: make("text"), arrow: make("path"), force: make("text", { "text-anchor": "end" }) };
        parts.knob = make("circle", { class: "item" });
        parts.number = make("text", { "text-anchor": "middle" }, `${item + 1}`);
        const set = (value) => this.set({ scores: this.state.scores.map((score, each) => (each === item ? Math.round(value * 10) / 10 : score)) });
        parts.handle = this.handle(
          `score of item ${item + 1}, relevance ${this.data.relevance[item]}`,
          { min: -2, max: 4, step: 0.1, get: () => this.state.scores[item], set, at: (x) => this.value(x), written: (value) => fixed(value, 1) },
          parts.knob,
          parts.number,
        );
        return parts;
      });
      this.axis = make("g");
      const all = this.items.flatMap(({ line, name, arrow, force }) => [line, name, arrow, force]);
      this.image = make("svg", {}, this.axis, ...all, ...this.items.map(({ handle }) => handle)); // handles on top
      this.stage.append(this.image);
    }

    /** The score at so many pixels from the left, and the other way round. */
    value(x) {
      return ((x - this.left) / (this.right - this.left)) * 6 - 2;
    }

    x(value) {
      return this.left + ((value + 2) / 6) * (this.right - this.left);
    }

    draw({ loss, push, places }) {
      const { em, width } = this;
      [this.left, this.right] = [1.2 * em, width - 1.2 * em];
      const [row, reach] = [3.5 * em, 0.24 * (this.right - this.left)];
      const height = this.items.length * row + 2.4 * em;
      for (const [name, value] of Object.entries({ viewBox: `0 0 ${width} ${height}`, height })) this.image.setAttribute(name, value);
      const longest = Math.max(...push.map(Math.abs), 1e-9);
      const put = (element, attributes) => Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
      this.items.forEach((parts, item) => {
        const [x, y] = [this.x(this.state.scores[item]), item * row + 2.3 * em];
        const way = Math.sign(push[item]);
        const [begin, end] = [x + way * 0.9 * em, x + way * 0.9 * em + (push[item] / longest) * reach]; // beside the knob
        put(parts.line, { x1: this.left, x2: this.right, y1: y, y2: y });
        put(parts.name, { x: 0, y: y - 1.4 * em });
        put(parts.force, { x: width, y: y - 1.4 * em });
        parts.name.textContent = `item ${item + 1}, relevance ${this.data.relevance[item]}, rank ${places[item]}`;
        parts.force.textContent = Math.abs(push[item]) < 5e-4 ? "no push" : `${push[item] > 0 ? "up" : "down"} ${signed(push[item], 3)}`;
        const head = `m${-way * 0.45 * em} ${-0.35 * em}l${way * 0.45 * em} ${0.35 * em}l${-way * 0.45 * em} ${0.35 * em}`;
        put(parts.arrow, { class: way > 0 ? "up" : "down", d: Math.abs(push[item]) < 5e-4 ? "" : `M${begin} ${y}H${end}${head}` });
        put(parts.knob, { cx: x, cy: y, r: 0.85 * em });
        put(parts.number, { x, y: y + 0.3 * em });
      });
      const ticks = [-2, -1, 0, 1, 2, 3, 4].map((value) => make("text", { class: "quiet", x: this.x(value), y: height - 0.8 * em, "text-anchor": "middle" }, `${value}`.replace("-", "−")));
      this.axis.replaceChildren(...ticks);
      return `${this.state.loss} costs ${fixed(loss, 3)}. Drag a score, or use the arrow keys on it.`;
    }
  }
  if (!customElements.get("live-forces")) customElements.define("live-forces", Forces);
})();
