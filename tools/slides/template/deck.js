// Starts a deck: sets the maths while all slides are laid out, then hands over to reveal.js.
// <html data-ready="true"> says that everything is drawn: the PDF export and the tests wait for it.
(async () => {
  const root = document.documentElement;
  const printing = /print-pdf/i.test(location.search);

  // A 4:3 screen gets a layout of its own instead of black bars: narrower, higher, with nearly the same type.
  const shape = () =>
    !printing && innerWidth / innerHeight < 1.55 ? { width: 1120, height: 840 } : { width: 1280, height: 720 };
  const apply = () => {
    root.style.setProperty("--slide-w", `${shape().width}px`);
    root.style.setProperty("--slide-h", `${shape().height}px`);
    return shape();
  };
  apply();

  // The one table of a slide without pictures and code: as large as fits, beside other words at most of their size, and
  // somewhat smaller where no line breaks then.
  const growTables = () => {
    root.classList.add("typesetting");
    for (const body of document.querySelectorAll(".slide .body:not(:has(img, pre, .live, .columns))")) {
      const [table, another] = body.querySelectorAll("table");
      if (!table || another) continue;
      table.classList.remove("grown");
      const given = parseFloat(getComputedStyle(table).fontSize);
      const words = [...body.querySelectorAll("p, li")].some((each) => !table.contains(each));
      for (let size = words ? 30 : 38, fits = false; size >= Math.min(given + 1, 26) && !fits; size--) {
        table.style.setProperty("--grown", `${size}px`);
        table.classList.add("grown");
        fits = table.offsetWidth <= body.clientWidth && body.scrollHeight <= body.clientHeight;
        if (!fits) table.classList.remove("grown");
      }
    }
    root.classList.remove("typesetting");
  };

  await document.fonts.ready;
  await MathJax.startup.promise;
  await MathJax.typesetPromise([document.querySelector(".slides")]);
  for (const formula of document.querySelectorAll(".slides mjx-container:not([display=true])")) {
    // a line that begins with the comma after a formula looks like a mistake
    const rest = formula.nextSibling;
    const mark = rest?.nodeType === Node.TEXT_NODE && rest.data.match(/^[.,;:!?)%”]+/);
    if (!mark) continue;
    rest.splitText(mark[0].length);
    const held = document.createElement("span");
    held.className = "held";
    formula.replaceWith(held);
    held.append(formula, rest);
  }
  await Promise.allSettled([...document.images].map((image) => image.decode()));
  growTables();

  const drawn = new Promise((done) => Reveal.on(printing ? "pdf-ready" : "ready", done));
  Reveal.initialize({
    ...apply(),
    margin: 0,
    center: false,
    hash: true,
    transition: "none",
    backgroundTransition: "none",
    navigationMode: "linear",
    slideNumber: "c/t",
    pdfSeparateFragments: false,
    pdfMaxPagesPerSlide: 1,
    scrollActivationWidth: null,
    plugins: [RevealNotes],
  });
  addEventListener("resize", () => {
    const before = root.style.getPropertyValue("--slide-w");
    const after = apply();
    if (before !== `${after.width}px`) growTables();
    Reveal.configure(after);
  });
  await drawn;
  root.dataset.ready = "true";
})();
