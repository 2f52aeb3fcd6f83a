// Beside each page of reveal's print view what the speaker says. An answer has the notes of its question: said once.
() => {
  const slides = document.querySelector(".reveal .slides"), pages = [...slides.querySelectorAll(".pdf-page")], faults = [];
  let before = "";
  slides.replaceChildren();
  pages.forEach((page, place) => {
    const notes = page.querySelector("aside.notes");
    const text = [...(notes?.childNodes ?? [])].filter((each) => each.className !== "clock").map((each) => each.textContent).join("").trim();
    const [row, frame, words] = ["handout", "shown", "said"].map((name) => {
      const box = document.createElement("div");
      box.className = name;
      return box;
    });
    if (text && text !== before) words.append(...notes.childNodes);
    before = text;
    frame.append(page);
    row.append(frame, words);
    slides.append(row);
    if (!text && !page.querySelector("section.closing")) faults.push(`slide ${place + 1}: no notes`);
    if (words.scrollHeight > row.clientHeight) faults.push(`slide ${place + 1}: notes do not fit`);
  });
  return faults;
}
