// Chapter 15: three bandits on the same coins, what each has lost so far, and the knob of each.
(() => {
  const { make, fixed } = LiveFigure;
  const mean = (numbers) => numbers.reduce((total, each) => total + each, 0) / numbers.length;
  const PLAYERS = { greedy: ["ε-greedy", "b"], ucb: ["UCB1", "a"], thompson: ["Thompson", "c"] };
  const decoded = new WeakMap();

  /** Chances of 256 levels: of each run, step and arm; of each run, arm and pull; of each run and step. */
  const chances = (data) => {
    if (!decoded.has(data)) {
      const all = Array.from(atob(data.luck), (each) => (each.charCodeAt(0) + 0.5) / 256);
      const size = data.runs * data.steps;
      const most = all.length / size / 2 - 0.5;
      const [draws, tosses, explores] = [all.slice(0, size * most), all.slice(size * most, 2 * size * most), all.slice(2 * size * most)];
      decoded.set(data, { most, draws, tosses, explores, known: new Map() });
    }
    return decoded.get(data);
  };

  /** The x below which a share u of Beta(a, b) lies, for whole a and b: by halving, with a sum of binomials. */
  const quantile = (u, a, b) => {
    if (a > b) return 1 - quantile(1 - u, b, a);
    let [low, high] = [0, 1];
    for (let turn = 0; turn < 34; turn++) {
      const x = (low + high) / 2;
      let term = (1 - x) ** (a + b - 1);
      let below = term;
      for (let j = 0; j < a - 1; j++) {
        term *= (((a + b - 1 - j) / (j + 1)) * x) / (1 - x);
        below += term;
      }
      if (1 - below < u) low = x;
      else high = x;
    }
    return (low + high) / 2;
  };

  /** What each way makes of an arm's showings n and successes s, with t steps so far and a chance u. */
  const VALUES = {
    greedy: (n, s) => (n ? s / n : Infinity),
    ucb: (n, s, t, u, confidence) => (n ? s / n + Math.sqrt((confidence * Math.log(Math.max(t, 1))) / n) : Infinity),
    thompson: (n, s, t, u, width) => (1 + s) / (2 + n) + width * (quantile(u, 1 + s, 1 + n - s) - (1 + s) / (2 + n)),
  };

  /** The regret of one run after each step. */
  const play = (data, name, knob, coins, run) => {
    const { most, draws, tosses, explores } = chances(data);
    const [shown, won, lost] = [coins.map(() => 0), coins.map(() => 0), []];
    const best = Math.max(...coins);
    for (let step = 0; step < data.steps; step++) {
      const place = run * data.steps + step;
      const luck = draws.slice(place * most, place * most + coins.length);
      const byChance = name === "greedy" && explores[place] < knob;
      const values = byChance ? luck : coins.map((_, arm) => VALUES[name](shown[arm], won[arm], step, luck[arm], knob));
      const arm = values.indexOf(Math.max(...values));
      if (tosses[(run * most + arm) * data.steps + shown[arm]] < coins[arm]) won[arm]++;
      shown[arm]++;
      lost.push((lost.at(-1) ?? 0) + best - coins[arm]);
    }
    return lost;
  };

  class BanditRace extends LiveFigure {
    static title = "What three bandits lose against always taking the best film";
    static style = `.says { min-height: 2.8em; } i { display: inline-block; width: 1.2em; height: .25em; margin-right: .4em; vertical-align: middle; }`;

    static compute(data, { films, greedy, ucb, thompson }) {
      const { known } = chances(data);
      const found = { mean: {}, worst: {}, curves: {} };
      for (const [name, knob] of Object.entries({ greedy, ucb, thompson })) {
        const key = `${name} ${knob} ${films}`;
        if (!known.has(key)) known.set(key, Array.from({ length: data.runs }, (_, run) => play(data, name, knob, data.coins[films], run)));
        const runs = known.get(key);
        const ends = runs.map((lost) => lost.at(-1));
        found.mean[name] = mean(ends);
        found.worst[name] = Math.max(...ends);
        found.curves[name] = runs[0].map((_, step) => mean(runs.map((lost) => lost[step])));
      }
      return found;
    }

    start() {
      return { films: "5", greedy: 0, ucb: 2, thompson: 1 };
    }

    build() {
      this.choice("films", "films", Object.keys(this.data.coins).map((count) => [count, count]));
      this.slider("greedy", "ε-greedy: ε", { min: 0, max: 0.5, step: 0.05, written: (value) => fixed(value, 2) });
      this.slider("ucb", "UCB1: under the root", { min: 0, max: 2, step: 0.1, written: (value) => fixed(value, 1) });
      this.slider("thompson", "Thompson: width", { min: 0, max: 1, step: 0.05, written: (value) => fixed(value, 2) });
      this.chart = make("div");
      this.list = make("div");
      this.stage.classList.add("two");
      this.stage.append(this.chart, this.list);
    }

    draw({ mean: ends, worst, curves }) {
      const { em } = this;
      const { runs, steps } = this.data;
      const wide = this.width > 33 * em;
      const [width, height, left] = [this.width * (wide ? 0.5 : 1) - (wide ? 0.8 * em : 0), 13 * em, 2.4 * em];
      const floor = height - 2.6 * em;
      const most = Math.max(10, ...Object.values(ends));
      const x = (step) => left + (step / steps) * (width - left - 0.5 * em);
      const y = (lost) => floor - (lost / most) * (floor - 1.8 * em);
      const names = Object.keys(PLAYERS);
      const line = (name) => {
        const points = curves[name].map((lost, step) => `${x(step + 1).toFixed(1)},${y(lost).toFixed(1)}`);
        return make("polyline", { points: [`${x(0)},${y(0)}`, ...points].join(" "), fill: "none", stroke: `var(--${PLAYERS[name][1]})`, "stroke-width": 2.5 });
      };
      const text = (attributes, words) => make("text", attributes, words);
      this.chart.replaceChildren(
        make(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
          make("path", { class: "axis", d: `M${left} ${1.4 * em}V${floor}H${width}` }),
          ...[0, most].map((lost) => text({ x: left - 0.5 * em, y: y(lost) + 0.3 * em, "text-anchor": "end" }, fixed(lost, 0))),
          ...[0, steps / 2, steps].map((step) => text({ x: x(step), y: floor + 1.1 * em, "text-anchor": step ? (step === steps ? "end" : "middle") : "start" }, `${step}`)),
          text({ class: "quiet", x: left + 0.4 * em, y: 0.9 * em }, `↑ regret, mean of ${runs} runs`),
          text({ class: "quiet", x: width, y: height - 0.2 * em, "text-anchor": "end" }, "steps →"),
          ...names.map(line),
        ),
      );
      const order = names.toSorted((one, other) => ends[one] - ends[other]);
      const rows = order.map((name) => {
        const mark = make("i", { style: `background: var(--${PLAYERS[name][1]})` });
        return make("tr", {}, make("td", {}, mark, PLAYERS[name][0]), ...[ends, worst].map((each) => make("td", { class: "n" }, fixed(each[name], 1))));
      });
      const head = ["who", "mean", "worst run"].map((name, place) => make("th", { class: place ? "n" : "", scope: "col" }, name));
      const words = make("p", { class: "small quiet" }, `Regret after ${steps} steps, the same ${runs} runs of luck for all.`);
      this.list.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)), words);
      const [first, second] = order.map((name) => PLAYERS[name][0]);
      return `${this.state.films} films: ${first} loses ${fixed(ends[order[0]], 1)} on average, ${second} ${fixed(ends[order[1]], 1)}. The worst run of ${first} loses ${fixed(worst[order[0]], 1)}.`;
    }
  }
  if (!customElements.get("live-bandit-race")) customElements.define("live-bandit-race", BanditRace);
})();
