// Chapter 13: one prediction for each of two groups; bring their means together, or their errors, and see who pays.
(() => {
  const { make, fixed } = LiveFigure;
  const STARS = [1, 2, 3, 4, 5];
  const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);
  const mean = (counts) => sum(counts.map((count, star) => count * STARS[star])) / sum(counts);
  const squared = (counts, guess) => sum(counts.map((count, star) => count * (STARS[star] - guess) ** 2)) / sum(counts);

  class TwoLines extends LiveFigure {
    static title = "Ratings of two groups, one prediction for each, and their errors";
    static style = `
      .group { display: grid; grid-template-columns: 1fr 10.5em; gap: .4em 1.2em; align-items: center; margin-bottom: .6em; }
      @container (max-width: 33em) { .group { grid-template-columns: 1fr; } }
      .group p { margin: 0; } .group b { font-weight: 650; } .worse { color: var(--b); font-weight: 650; }
    `;

    /** The cheapest way, in squared errors, to close a share of the gap. */
    static compute({ groups }, { pair, aim, closed }) {
      const counts = groups[pair].counts;
      const means = counts.map(mean);
      const best = counts.map((each, group) => squared(each, means[group]));
      const all = mean(STARS.map((_, star) => counts[0][star] + counts[1][star]));
      let predictions = means.map((own) => own + closed * (all - own));
      if (aim === "errors") {
        const served = best[0] < best[1] ? 0 : 1; // the better served group alone can be brought to the other's error
        const away = Math.sqrt(closed * Math.abs(best[0] - best[1]));
        const side = means[served] < means[1 - served] ? 1 : -1; // towards the other group
        predictions = means.map((own, group) => own + (group === served ? side * away : 0));
      }
      const errors = counts.map((each, group) => squared(each, predictions[group]));
      return {
        predictions,
        rmse: errors.map(Math.sqrt),
        worse: errors.map((each, group) => Math.sqrt(each) - Math.sqrt(best[group])),
        gap: predictions[0] - predictions[1],
        parity: (predictions[0] - predictions[1]) ** 2 / 4,
        errorParity: (errors[0] - errors[1]) ** 2 / 4,
      };
    }

    start() {
      return { pair: 0, aim: "means", closed: 0 };
    }

    build() {
      this.choice("pair", "people", this.data.groups.map(({ name }, place) => [place, name]));
      this.choice("aim", "make equal", [["means", "means"], ["errors", "errors"]]);
      this.slider("closed", "gap closed", { min: 0, max: 1, step: 0.01, written: (value) => `${fixed(100 * value, 0)} %` });
      this.groups = [0, 1].map(() => ({ picture: make("div"), words: make("div") }));
      this.stage.append(...this.groups.map(({ picture, words }) => make("div", { class: "group" }, picture, words)));
    }

    draw({ predictions, rmse, worse, gap }) {
      const { em } = this;
      const { names, counts } = this.data.groups[this.state.pair];
      this.groups.forEach(({ picture, words }, group) => {
        const wide = this.width > 33 * em;
        const [width, height] = [this.width - (wide ? 11.7 * em : 0), 6.1 * em];
        const x = (stars) => 2 * em + ((stars - 1) / 4) * (width - 4 * em);
        const [most, ratings] = [Math.max(...counts[group]), sum(counts[group])];
        const floor = height - 1.4 * em;
        const bars = counts[group].map((count, star) => {
          const high = (count / most) * (floor - 1.6 * em);
          return make("rect", { x: x(STARS[star]) - 1.1 * em, y: floor - high, width: 2.2 * em, height: high, fill: "var(--soft)" });
        });
        const line = (value, attributes) => make("line", { x1: x(value), x2: x(value), y1: 1.1 * em, y2: floor, ...attributes });
        const flip = x(predictions[group]) > width - 8 * em ? "end" : "start";
        picture.replaceChildren(
          make(
            "svg",
            { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" },
            ...bars,
            make("line", { class: "axis", x1: 0, x2: width, y1: floor, y2: floor }),
            ...STARS.map((star) => make("text", { x: x(star), y: height - 0.2 * em, "text-anchor": "middle" }, `${star}`)),
            line(mean(counts[group]), { stroke: "var(--ink)", "stroke-width": 2, "stroke-dasharray": "4 4" }),
            line(predictions[group], { stroke: `var(--${"ab"[group]})`, "stroke-width": 5 }),
            make("text", { x: x(predictions[group]), y: 0.8 * em, "text-anchor": flip }, `prediction ${fixed(predictions[group], 2)}`),
          ),
        );
        const more = make("b", { class: worse[group] >= 5e-4 ? "worse" : "" }, worse[group] >= 5e-4 ? `+${fixed(worse[group], 3)}` : "no worse");
        words.replaceChildren(
          make("p", {}, make("b", {}, names[group])),
          make("p", { class: "small" }, `${ratings.toLocaleString("en")} rating${ratings === 1 ? "" : "s"}`),
          make("p", {}, `RMSE ${fixed(rmse[group], 3)}`),
          make("p", {}, more),
        );
      });
      const pays = Math.max(...worse) < 5e-4 ? "Nobody pays." : `Who pays more: ${names[worse[0] > worse[1] ? 0 : 1]}.`;
      return `Gap of the predictions ${fixed(Math.abs(gap), 3)}, of the errors ${fixed(Math.abs(rmse[0] - rmse[1]), 3)}. ${pays}`;
    }
  }
  if (!customElements.get("live-two-lines")) customElements.define("live-two-lines", TwoLines);
})();
