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
  root.classList.remove("typesetting");

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
  addEventListener("resize", () => Reveal.configure(apply()));
  await drawn;
  root.dataset.ready = "true";
})();
