// Chapter 5: ALS on a table of two users and two items, half-step by half-step.
(() => {
  const { make, fixed } = LiveFigure;
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const turned = (table) => table[0].map((_, column) => table.map((row) => row[column]));

  /** Best factor of each row, given the columns': ridge regression with one weight. */
  const halfStep = (table, q, penalty, weighted) =>
    table.map((row) => {
      const known = [...row.keys()].filter((column) => row[column] !== null);
      const scale = weighted ? known.length : 1;
      return sum(known.map((column) => row[column] * q[column])) / (sum(known.map((column) => q[column] ** 2)) + penalty * scale);
    });

  /** Squared error on the known cells, plus the penalty. */
  const objective = (table, p, q, penalty, weighted) => {
    const errors = table.map((row, user) => sum(row.map((rating, item) => (rating === null ? 0 : (rating - p[user] * q[item]) ** 2))));
    const norm = (rows, factors) => sum(rows.map((row, place) => (weighted ? row.filter((each) => each !== null).length : 1) * factors[place] ** 2));
    return sum(errors) + penalty * (norm(table, p) + norm(turned(table), q));
  };

  class HalfSteps extends LiveFigure {
    static title = "ALS on two users and two items";
    static style = `
      .ratings { width: auto; } .ratings :is(th, td) { padding: .35em .7em; text-align: center; } .ratings .f { color: var(--c); font-weight: 650; }
      .ratings .f.now { outline: 2px solid var(--c); border-radius: .2em; } .hole { color: var(--b); font-weight: 650; } .was { display: block; }
      canvas { display: block; width: 100%; } .view { position: relative; } .view svg { position: absolute; inset: 0; }
    `;

    static compute({ ratings: table }, { steps, penalty, weighted }) {
      let [p, q] = [table.map(() => 1), table[0].map(() => 1)];
      const [losses, path] = [[objective(table, p, q, penalty, weighted)], [[p[0], q[0]]]];
      for (let step = 0; step < steps; step++) {
        if (step % 2 === 0) p = halfStep(table, q, penalty, weighted);
        else q = halfStep(turned(table), p, penalty, weighted);
        losses.push(objective(table, p, q, penalty, weighted));
        path.push([p[0], q[0]]);
      }
      return { p, q, cells: p.flatMap((user) => q.map((item) => user * item)), losses, path };
    }

    start() {
      return { steps: 0, penalty: 0, weighted: false };
    }

    build() {
      this.slider("steps", "half-steps", { min: 0, max: 24 });
      this.slider("penalty", "λ", { min: 0, max: 0.5, step: 0.01, written: (value) => fixed(value, 2) });
      this.choice("weighted", "penalty", [[false, "plain"], [true, "weighted"]]);
      this.table = make("div");
      this.canvas = make("canvas", { "aria-hidden": "true" });
      this.over = make("div");
      const words = make("p", { class: "small quiet" }, "The loss over the first factor of either side: darker is less.");
      this.stage.classList.add("two");
      this.stage.append(this.table, make("div", {}, make("div", { class: "view" }, this.canvas, this.over), words));
    }

    dress() {
      super.dress();
      if (this.width) this.show(); // a canvas does not follow its colours
    }

    draw({ p, q, cells, losses, path }) {
      const { em } = this;
      const { steps } = this.state;
      const turn = steps === 0 ? "" : steps % 2 ? "users" : "items";
      const factor = (value, name) => make("th", { class: `f${turn === name ? " now" : ""}`, scope: name === "items" ? "col" : "row" }, fixed(value, 3));
      const cell = (rating, guess) =>
        make("td", { class: rating === null ? "hole" : "" }, fixed(guess, 3), make("span", { class: "small quiet was" }, rating === null ? "not rated" : `rated ${rating}`));
      this.table.replaceChildren(
        make(
          "table",
          { class: "ratings" },
          make("thead", {}, make("tr", {}, make("td", { class: "small quiet" }, "p · q"), ...q.map((value) => factor(value, "items")))),
          make("tbody", {}, ...p.map((value, user) => make("tr", {}, factor(value, "users"), ...q.map((_, item) => cell(this.data.ratings[user][item], cells[2 * user + item]))))),
        ),
      );
      this.paint(p, q, path);
      const half = steps === 0 ? "All factors are 1" : `Half-step ${steps}, the ${turn}' factors`;
      return `${half}: loss ${fixed(losses[steps], 4)}${steps ? `, before it ${fixed(losses[steps - 1], 4)}` : ""}. The hole fills with ${fixed(cells[3], 3)}.`;
    }

    paint(p, q, path) {
      const { em, canvas } = this;
      const table = this.data.ratings;
      const { penalty, weighted } = this.state;
      const wide = this.width > 33 * em;
      const [width, height, columns, rows] = [this.width * (wide ? 0.5 : 1) - (wide ? 0.8 * em : 0), 10.5 * em, 96, 64];
      Object.assign(canvas, { width: columns, height: rows });
      canvas.style.height = `${height}px`;
      const [pMost, qMost] = [4.4, 3];
      const brush = canvas.getContext("2d");
      const dark = this.card.classList.contains("dark");
      const levels = [0.05, 0.2, 0.5, 1.1, 2, 3.2, 6, 12, 30];
      const losses = [];
      for (let row = 0; row < rows; row++)
        for (let column = 0; column < columns; column++)
          losses.push(objective(table, [(column / columns) * pMost, p[1]], [(1 - row / rows) * qMost, q[1]], penalty, weighted));
      const least = Math.min(...losses);
      losses.forEach((loss, place) => {
        const level = levels.findIndex((each) => loss - least < each);
        const depth = (level < 0 ? levels.length : level) / levels.length;
        brush.fillStyle = dark ? `hsl(205 25% ${38 - 24 * depth}%)` : `hsl(205 25% ${74 + 26 * depth}%)`;
        brush.fillRect(place % columns, Math.floor(place / columns), 1, 1);
      });
      const point = ([first, second]) => [(first / pMost) * width, (1 - second / qMost) * height];
      const points = path.map((each) => point(each).map((value) => value.toFixed(1)).join(",")).join(" ");
      const [x, y] = point(path.at(-1));
      this.over.replaceChildren(
        make(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
          make("polyline", { points, fill: "none", stroke: "var(--c)", "stroke-width": 2.5 }),
          make("circle", { cx: x, cy: y, r: 0.45 * em, fill: "var(--c)" }),
          make("text", { x: width - 0.4 * em, y: height - 0.5 * em, "text-anchor": "end" }, "p of user 1 →"),
          make("text", { x: 0.4 * em, y: em }, "↑ q of item 1"),
        ),
      );
    }
  }
  if (!customElements.get("live-half-steps")) customElements.define("live-half-steps", HalfSteps);
})();
