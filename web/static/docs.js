// Shows the calls and schemas in which every typed word occurs. Without it the page is read from its table of contents.
"use strict";

const box = document.querySelector("[data-filter]");
const field = box.querySelector("input");
const found = box.querySelector("[data-found]");
const parts = [...document.querySelectorAll("section.call")].map((part) => ({
  part,
  text: part.textContent.toLowerCase(),
  links: document.querySelectorAll(`[data-contents] a[href="#${part.id}"]`),
}));
const groups = [...document.querySelectorAll("[data-contents]")];

function show() {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const { part, text, links } of parts) {
    const hidden = !words.every((word) => text.includes(word));
    part.hidden = hidden;
    for (const link of links) link.closest("li").hidden = hidden;
    shown += hidden ? 0 : 1;
  }
  for (const group of groups) group.hidden = group.querySelector("li:not([hidden])") === null;
  found.textContent = words.length ? (shown ? `${shown} of ${parts.length}` : "Nothing here has all of these words.") : "";
}

box.hidden = false;
field.addEventListener("input", show);
show(); // what a browser has kept of the field
