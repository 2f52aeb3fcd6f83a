// Wide formulas, diagrams and the map scroll inside themselves; whoever has no mouse reaches them with the tab key.
(() => {
  const SCROLLS = "mjx-container[display='true'], .long-formula, .map, .picture";
  const update = () => {
    if (!document.body.clientWidth) return;
    for (const formula of document.querySelectorAll("mjx-container:not([display='true'])")) {
      const text = formula.closest("p, li, td, th, dd, figcaption");
      const box = formula.closest(".math") ?? formula;
      box.classList.toggle("long-formula", !!text && formula.firstElementChild.offsetWidth > text.clientWidth);
      if (box.classList.contains("long-formula")) continue;
      box.classList.remove("more");
      box.removeAttribute("tabindex");
      box.onscroll = null;
    }
    for (const box of document.querySelectorAll(SCROLLS)) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
      box.onscroll = () => box.classList.toggle("more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
      box.onscroll();
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

  // Numbers stand right, with the head of their column; a column of sentences is known by its longest.
  const NUMBER = /^((?!.*[A-Za-z]{3})[-+−±<]?[\d.]|nan$|-?inf$)/; // "2001: A Space Odyssey" is none
  const markNumbers = (table) => {
    const rows = [...(table.tBodies[0]?.rows ?? [])].map((row) => [...row.querySelectorAll("td")]);
    const heads = [...([...(table.tHead?.rows ?? [])].at(-1)?.cells ?? [])];
    for (const place of rows[0]?.keys() ?? []) {
      const column = rows.map((row) => row[place]).filter(Boolean);
      const texts = column.map((cell) => cell.textContent.trim()).filter((text) => text && text !== "–");
      if (texts.some((text) => text.length > 28)) column.forEach((cell) => cell.classList.add("sentence"));
      if (2 * texts.filter((text) => NUMBER.test(text)).length <= texts.length) continue; // most are none
      for (const cell of [...column, heads[heads.length - rows[0].length + place]]) cell?.classList.add("number");
    }
  };

  // The theme's arrow in the side bar has no name.
  for (const arrow of document.querySelectorAll(".bd-links summary")) {
    const name = arrow.closest("li")?.querySelector("a")?.textContent.trim();
    arrow.setAttribute("aria-label", `Pages of ${name}`);
  }

  // What a result of the search shows is prose, not the lines that folds have, nor the signs around a formula.
  if (typeof Search !== "undefined") {
    const toText = Search.htmlToText;
    Search.htmlToText = (page, anchor) => toText(page.replace(/<summary[^]*?<\/summary>|\\[()[\]]/g, ""), anchor);
  }

  const ready = () => (window.MathJax?.startup?.promise ?? Promise.resolve()).then(keepStops).then(update);
  document.querySelectorAll(".bd-article table").forEach(markNumbers);
  window.addEventListener("load", ready);
  window.addEventListener("resize", update);
  document.addEventListener("toggle", update, true); // what a fold held had no width until it opened
})();
