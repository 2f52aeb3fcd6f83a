// Looks at the slide that is open, all fragments shown, and returns its faults as lines; empty is good.
// Boxes are compared as they appear on the screen, after every scaling.
(least) => {
  const section = Reveal.getCurrentSlide();
  const slide = section.querySelector(".slide");
  const area = slide.getBoundingClientRect();
  const scale = area.width / slide.offsetWidth;
  const faults = new Set();
  const name = (element) => {
    const text = (element.textContent || element.getAttribute("alt") || "").trim().replace(/\s+/g, " ").slice(0, 40);
    return `<${element.localName}> "${text}"`;
  };
  const hidden = (element) => element.closest("script, aside.notes, mjx-assistive-mml, [aria-hidden=true]:not(svg.matrix, mjx-container svg)");
  const visible = (box) => box.width > 0.5 && box.height > 0.5;

  // nothing below or beside the slide; the foot line's strip stays free
  const floor = area.bottom - 44 * scale;
  const inside = (box, element) => {
    const slack = 1.5;
    if (box.left < area.left - slack || box.right > area.right + slack) faults.add(`beside the slide: ${name(element)}`);
    const end = element.closest(".foot") ? area.bottom : floor;
    if (box.top < area.top - slack || box.bottom > end + slack) faults.add(`below or above the slide: ${name(element)}`);
    const column = element.closest(".column")?.getBoundingClientRect();
    if (column && (box.left < column.left - slack || box.right > column.right + slack))
      faults.add(`beyond its column: ${name(element)}`);
  };
  for (const element of slide.querySelectorAll("*")) {
    if (hidden(element) || element.closest("mjx-container svg *")) continue;
    const box = element.getBoundingClientRect();
    if (visible(box)) inside(box, element);
  }

  // no cut line: a box whose content is larger than the box
  for (const element of slide.querySelectorAll("pre, pre code, .table, .foot, .block, .column, .body")) {
    if (element.scrollWidth > element.clientWidth + 1 && element.clientWidth) faults.add(`cut line: ${name(element)}`);
    if (element.matches("pre, .table") && element.scrollHeight > element.clientHeight + 1)
      faults.add(`cut below: ${name(element)}`);
  }

  // nothing lies on another thing
  const things = [...slide.querySelectorAll("h1, h2, h3, h4, p, li, pre, table, img, blockquote, mjx-container[display=true]")]
    .filter((thing) => !hidden(thing) && visible(thing.getBoundingClientRect()))
    .map((thing) => [thing, thing.getBoundingClientRect()]);
  things.forEach(([one, a], i) => {
    for (const [other, b] of things.slice(i + 1)) {
      if (one.contains(other) || other.contains(one)) continue;
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 2 && height > 2) faults.add(`lies on ${name(one)}: ${name(other)}`);
    }
  });

  for (const image of slide.querySelectorAll("img")) {
    if (!image.complete || !image.naturalWidth) faults.add(`broken picture: ${name(image)}`);
    if (!(image.getAttribute("alt") || "").trim()) faults.add(`picture without alt text: ${image.src.slice(0, 40)}`);
    const box = image.getBoundingClientRect();
    // object-fit keeps the shape: the drawn picture is the largest that fits the box
    const drawn = Math.min(box.height, (box.width * image.naturalHeight) / image.naturalWidth);
    if (image.naturalWidth && drawn < least.picture * scale) faults.add(`small picture (${Math.round(drawn / scale)} px high): ${name(image)}`);
  }

  for (const error of section.querySelectorAll("[data-mml-node=merror], mjx-merror, merror"))
    faults.add(`maths error: ${error.getAttribute("data-mjx-error") || error.getAttribute("title") || error.textContent}`);

  const walker = document.createTreeWalker(slide, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || hidden(element) || element.closest("svg, mjx-container, sup, sub")) continue;
    const size = parseFloat(getComputedStyle(element).fontSize);
    if (Number.isNaN(size)) continue;  // not drawn: what a live figure stands in for
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) if (visible(box)) inside(box, element);
    const code = element.closest("pre, code, table");
    if (!code && /\$\$|\\[a-zA-Z([]/.test(node.data)) faults.add(`maths not set: ${name(element)}`);
    const limit = element.closest(".foot") ? least.foot : code ? least.code : least.text;
    const alone = element.closest(".answer, .question .block:last-child > p:last-child, code:not(pre code), table.grown");
    const body = element.closest(":is(.content, .question) .body");
    if (body && !alone && !least.sizes.includes(size)) faults.add(`a third size (${size} px): ${name(element)}`);
    if (size < limit - 0.01) faults.add(`small type (${size} px, at least ${limit}): ${name(element)}`);
  }
  return [...faults];
}
