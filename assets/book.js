// Wide formulas and the map scroll inside themselves; whoever has no mouse reaches them with the tab key.
(() => {
  const update = () => {
    for (const box of document.querySelectorAll("mjx-container[display='true'], .map")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  const ready = () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(update);
  window.addEventListener("load", ready);
  window.addEventListener("resize", update);
})();
