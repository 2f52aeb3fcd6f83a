// What all live figures share: a card with its own colours, controls that a key and a pointer work, numbers as Python prints them.
// A figure extends LiveFigure: `compute` is its arithmetic, `start` its first state, `build` its parts, `draw` what they show now.
globalThis.LiveFigure ??= (() => {
  const STYLE = `
    :host { display: block; container-type: inline-size; margin: 1em 0; line-height: 1.4; text-align: left; }
    :host([hidden]) { display: none; }
    .card {
      --bg: #fff; --ink: #16202a; --quiet: #4a5763; --line: #75828e; --soft: #d5dde4; --tint: #f0f4f8; --accent: #0b4f8a;
      --a: #0072b2; --b: #c44e00; --c: #00785a; --d: #a3397f;
      box-sizing: border-box; padding: .8em 1em; border: 1px solid var(--soft); border-radius: .4em;
      background: var(--bg); color: var(--ink); font-variant-numeric: tabular-nums; accent-color: var(--accent);
    }
    .card.dark {
      --bg: #1a232c; --ink: #e3e9ee; --quiet: #aab6c0; --line: #8594a2; --soft: #33404c; --tint: #25313c; --accent: #8cc8ff;
      --a: #6cb8ee; --b: #ff9d5c; --c: #4fd1a8; --d: #f08ccb; color-scheme: dark;
    }
    @media print { .card.dark {
      --bg: #fff; --ink: #16202a; --quiet: #4a5763; --line: #75828e; --soft: #d5dde4; --tint: #f0f4f8; --accent: #0b4f8a;
      --a: #0072b2; --b: #c44e00; --c: #00785a; --d: #a3397f; color-scheme: light;
    } }
    @media print { .again { display: none; } .card { break-inside: avoid; } }
    .controls { display: flex; flex-wrap: wrap; align-items: center; gap: .5em 1.4em; margin-bottom: .7em; }
    .controls > * { min-width: 0; }
    label.slide { display: flex; align-items: center; gap: .1em .6em; }
    label.slide input { flex: 1 1 9em; width: 9em; min-width: 5em; height: 1.6em; min-height: 24px; margin: 0; }
    label.slide output { min-width: 3em; font-weight: 650; }
    fieldset { display: flex; flex-wrap: wrap; margin: 0; padding: 0; border: 0; gap: .2em .9em; }
    legend { float: left; margin-right: .8em; padding: 0; line-height: max(26px, 1.4em); }
    fieldset label { display: inline-flex; align-items: center; gap: .35em; min-height: 26px; }
    fieldset input { width: 1.1em; height: 1.1em; margin: 0; }
    button {
      min-width: 28px; min-height: 28px; padding: .2em .7em; border: 1px solid var(--line); border-radius: .3em;
      background: var(--bg); color: var(--ink); font: inherit; cursor: pointer;
    }
    button:hover { background: var(--tint); }
    button[aria-pressed="true"] { background: var(--a); border-color: var(--a); color: var(--bg); font-weight: 650; }
    input[type="search"] {
      box-sizing: border-box; width: 16em; max-width: 100%; min-height: 30px; padding: .2em .5em; border: 1px solid var(--line);
      border-radius: .3em; background: var(--bg); color: var(--ink); font: inherit;
    }
    :focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
    .says { min-height: 1.4em; margin: .6em 0 0; }
    @container (max-width: 33em) { .says { min-height: 4.2em; } }
    .two { display: grid; grid-template-columns: 1fr 1fr; gap: .4em 1.6em; align-items: start; }
    .two > * { min-width: 0; }
    @container (max-width: 33em) { .two { grid-template-columns: 1fr; } }
    table { width: 100%; border-collapse: collapse; }
    th { font-weight: 650; } th, td { padding: .15em .5em .15em 0; text-align: left; vertical-align: top; }
    td.n, th.n { text-align: right; white-space: nowrap; }
    tbody tr { border-top: 1px solid var(--soft); }
    ol { margin: 0; padding-left: 1.8em; } li { padding: .08em 0; }
    .quiet { color: var(--quiet); } .small { font-size: .86em; }
    svg { display: block; width: 100%; overflow: visible; touch-action: pan-y; }
    svg text { fill: var(--ink); font-size: .86em; } svg text.quiet { fill: var(--quiet); }
    svg .axis { stroke: var(--line); fill: none; } svg .grid { stroke: var(--soft); fill: none; }
    svg [role="slider"] { cursor: grab; touch-action: none; }
    svg [role="slider"]:focus-visible { outline-offset: 4px; }
  `;
  const OWN_KEYS = /^(Arrow|Home$|End$|Enter$| $)/;
  const SVG = new Set(["svg", "g", "line", "rect", "circle", "path", "text", "polyline", "polygon", "title"]);

  /** An element: `make("p", { class: "x", onclick: f }, "text", child)`; svg's tags are made in its namespace. */
  const make = (tag, attributes = {}, ...children) => {
    const made = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  };

  /** A number as Python's `f"{value:z.{digits}f}"` writes it: of two neighbours equally far, the even one. */
  const fixed = (value, digits) => {
    const halves = Math.abs(value) * 2 ** (digits + 1);
    const below = Math.floor(Math.abs(value) * 10 ** digits);
    const tie = Number.isInteger(halves) && halves % 2;
    const even = (Math.sign(value) * (below + (below % 2))) / 10 ** digits;
    return (tie ? even : value).toFixed(digits).replace(/^-(?=[0.]*$)/, "");
  };

  /** A title as people write it, from a catalogue's "Game, The" or "Thieves (Voleurs, Les)". */
  const readable = (title) =>
    title
      .replace(/([^()]+), (The|An?|L[ae]s?|Il|D[ae]s|D[ei][ert]|El|Los|L'|O)(?=\)| \(|$)/g, "$2 $1")
      .replaceAll("L' ", "L'");

  class LiveFigure extends HTMLElement {
    static make = make;
    static fixed = fixed;
    static readable = readable;

    connectedCallback() {
      if (this.shadowRoot) return;
      this.data = JSON.parse(this.dataset.values);
      this.state = this.start();
      this.card = make("div", { class: "card", role: "group", "aria-label": this.constructor.title });
      this.controls = make("div", { class: "controls" });
      this.stage = make("div", { class: "stage" });
      this.says = make("p", { class: "says", role: "status" });
      this.card.append(this.controls, this.stage, this.says);
      const root = this.attachShadow({ mode: "open" });
      root.append(make("style", {}, STYLE + (this.constructor.style ?? "")), this.card);
      // Keys that work a control stay here: a deck would turn its page, JupyterLab would leave the cell.
      root.addEventListener("keydown", (event) => {
        if (OWN_KEYS.test(event.key) || event.target.type === "search") event.stopPropagation();
      });
      this.sliders = [];
      this.build();
      this.controls.append(make("button", { type: "button", class: "again", onclick: () => this.set(this.start()) }, "Reset"));
      this.dress();
      this.watch();
      this.show();
    }

    disconnectedCallback() {
      this.watching?.forEach((each) => each.disconnect());
    }

    /** Draw when the width changes, take the colours of the page when those change. */
    watch() {
      const size = new ResizeObserver(() => this.stage.clientWidth !== this.width && this.show());
      const theme = new MutationObserver(() => this.dress());
      size.observe(this.stage);
      for (const element of [document.documentElement, document.body]) theme.observe(element, { attributes: true });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
      this.watching = [size, theme];
    }

    /** Light text around it means a dark page. */
    dress() {
      const [red, green, blue] = getComputedStyle(this).color.match(/[\d.]+/g).map(Number);
      this.card.classList.toggle("dark", 0.3 * red + 0.59 * green + 0.11 * blue > 128);
    }

    set(changes) {
      Object.assign(this.state, changes);
      this.show();
    }

    show() {
      this.width = this.stage.clientWidth;
      if (!this.width) return; // on a slide that is not open
      this.em = parseFloat(getComputedStyle(this).fontSize);
      for (const each of this.sliders) each();
      const text = this.draw(this.constructor.compute(this.data, this.state));
      if (this.says.textContent !== text) this.says.textContent = text;
    }

    /** A labelled range of one number of the state. */
    slider(name, label, { min, max, step = 1, written = String }) {
      const input = make("input", { type: "range", min, max, step, oninput: () => this.set({ [name]: Number(input.value) }) });
      const output = make("output", { "aria-hidden": "true" });
      this.sliders.push(() => {
        input.value = this.state[name];
        output.textContent = written(this.state[name]);
        input.setAttribute("aria-valuetext", output.textContent);
      });
      this.controls.append(make("label", { class: "slide" }, make("span", {}, label), input, output));
    }

    /** One of several, as radio buttons: `options` are pairs of a value of the state and its words. */
    choice(name, label, options) {
      const group = `${name}-choice`;
      const inputs = options.map(([value]) =>
        make("input", { type: "radio", name: group, value, onchange: () => this.set({ [name]: value }) }),
      );
      this.sliders.push(() => inputs.forEach((input, place) => (input.checked = options[place][0] === this.state[name])));
      const labels = inputs.map((input, place) => make("label", {}, input, options[place][1]));
      this.controls.append(make("fieldset", {}, make("legend", {}, label), ...labels));
    }

    /** What a pointer drags and arrow keys move, in a picture that is built once: a group with role slider. */
    handle(label, { min, max, step, get, set, at, written = String }, ...children) {
      const put = (value) => set(Math.min(max, Math.max(min, Math.round(value / step) * step)));
      const drag = (event) => {
        const box = this.stage.querySelector("svg").getBoundingClientRect();
        put(at(((event.clientX - box.left) * this.width) / box.width));
      };
      const steps = { ArrowRight: step, ArrowUp: step, ArrowLeft: -step, ArrowDown: -step };
      const group = make("g", { role: "slider", tabindex: 0, "aria-label": label, "aria-valuemin": min, "aria-valuemax": max }, ...children);
      group.addEventListener("keydown", (event) => {
        const value = { Home: min, End: max }[event.key] ?? (event.key in steps ? get() + steps[event.key] : null);
        if (value === null) return;
        event.preventDefault();
        put(value);
      });
      group.addEventListener("pointerdown", (event) => {
        group.setPointerCapture(event.pointerId);
        group.focus({ preventScroll: true });
        event.preventDefault();
      });
      group.addEventListener("pointermove", (event) => group.hasPointerCapture(event.pointerId) && drag(event));
      this.sliders.push(() => {
        group.setAttribute("aria-valuenow", get());
        group.setAttribute("aria-valuetext", written(get()));
      });
      return group;
    }

    /** A picture of so many pixels, in those of the screen, so that its letters are as large as the page's. */
    picture(height, ...children) {
      return make("svg", { viewBox: `0 0 ${this.width} ${height}`, height, "aria-hidden": "true" }, ...children);
    }
  }
  return LiveFigure;
})();
