// Wide formulas, diagrams and the map scroll inside themselves; whoever has no mouse reaches them with the tab key.
(() => {
  const SCROLLS = "mjx-container[display='true'], .map, .cell_output:has(> img[src$='.svg'])";
  const update = () => {
    for (const box of document.querySelectorAll(SCROLLS)) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };

  // A full stop or a comma stays on the line of its formula.
  const keepStops = () => {
    for (const formula of document.querySelectorAll("mjx-container:not([display='true'])")) {
      const box = formula.closest(".math") ?? formula;
      const next = box.nextSibling;
      const stop = next?.nodeType === Node.TEXT_NODE && next.data.match(/^[.,;:?!)\]’”]+/)?.[0];
      if (!stop) continue;
      const line = document.createElement("span");
      line.style.whiteSpace = "nowrap";
      next.data = next.data.slice(stop.length);
      box.replaceWith(line);
      line.append(box, stop);
    }
  };

  // pandas writes the names of the index into a header row of their own: they fit into the row above.
  const mergeHeaders = (head) => {
    const [above, below] = [...head.rows].slice(-2);
    if (!below || above.cells.length !== below.cells.length) return;
    const pairs = [...above.cells].map((cell, place) => [cell.textContent.trim(), below.cells[place].textContent.trim()]);
    const clash = pairs.some(([upper, lower], place) => upper && lower && place > 0);
    if (clash || [...above.cells].some((cell) => cell.colSpan > 1)) return;
    pairs.forEach(([upper, lower], place) => {
      above.cells[place].textContent = [lower, upper].filter(Boolean).join(" \\ ");
    });
    below.remove();
  };

  // Numbers stand right, columns of words left.
  const NUMBER = /^((?!.*[A-Za-z]{3})[-+−±]?[\d.]|nan$|-?inf$)/; // "2001: A Space Odyssey" is none
  const markWords = (table) => {
    const rows = [...(table.tBodies[0]?.rows ?? [])].map((row) => [...row.querySelectorAll("td")]);
    const heads = [...([...(table.tHead?.rows ?? [])].at(-1)?.cells ?? [])];
    for (const head of rows[0]?.length ? heads.slice(0, -rows[0].length) : []) head.classList.add("words"); // the index
    for (const place of rows[0]?.keys() ?? []) {
      const column = rows.map((row) => row[place]).filter(Boolean);
      const texts = column.map((cell) => cell.textContent.trim()).filter(Boolean);
      if (!texts.length || texts.some((text) => NUMBER.test(text))) continue;
      for (const cell of [...column, heads[heads.length - rows[0].length + place]]) cell?.classList.add("words");
    }
  };

  const ready = () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(keepStops).then(update);
  for (const table of document.querySelectorAll("table.dataframe")) {
    if (table.tHead) mergeHeaders(table.tHead);
    markWords(table);
  }
  // A number and its spread are one thing: "0.138 ± 0.001" does not break where there is room.
  for (const cell of document.querySelectorAll(".bd-article table:not(.dataframe) td")) {
    if (/^[-+−]?[\d.,]+( ± [\d.,]+)?$/.test(cell.textContent.trim())) cell.classList.add("number");
  }
  window.addEventListener("load", ready);
  window.addEventListener("resize", update);
})();
