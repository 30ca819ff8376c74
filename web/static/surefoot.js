// Keeps what is marked data-live fresh, turns times into "3 s ago", copies, fills, and sends a form once.
"use strict";

const EVERY_MS = 1000;
const SLOWEST_MS = 8000;
const PATIENCE_MS = 10000; // a server that answers later than this is told as not reachable

// Whether a reload would lose something: typed, drawn again with its faults, or on its way to the server.
let written = document.querySelector("form[data-once] [role=alert]") !== null;
for (const kind of ["input", "submit"]) document.addEventListener(kind, () => (written = true));

// --- live parts --------------------------------------------------------------------------------------------
function follow(root) {
  const shown = new Map();
  let tag = null;
  let seen = Date.now();
  let wait = EVERY_MS;
  let timer = null;
  let signedOut = false;
  let ended = root.querySelector("[data-ended]") !== null;
  const fresh = () => root.querySelector("[data-fresh]");

  async function look() {
    timer = null;
    if (document.hidden || ended) return;
    try {
      const answer = await fetch(root.dataset.live, {
        headers: tag ? { "If-None-Match": tag } : {},
        credentials: "same-origin",
        cache: "no-store",
        redirect: "manual",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      signedOut = answer.type === "opaqueredirect" || answer.status === 401;
      if (signedOut && !written) return location.reload();
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        show(await answer.text());
      } else if (answer.status !== 304 && !signedOut) {
        throw new Error(String(answer.status));
      }
      seen = Date.now();
      wait = signedOut ? SLOWEST_MS : EVERY_MS;
    } catch {
      wait = Math.min(wait * 2, SLOWEST_MS);
    }
    tick();
    if (!ended) timer = setTimeout(look, wait);
  }

  function show(text) {
    const page = new DOMParser().parseFromString(text, "text/html");
    const kept = new Set();
    const names = [...page.querySelectorAll("[data-part]")].map((one) => one.dataset.part);
    for (const part of page.querySelectorAll("[data-part]")) {
      const name = part.dataset.part;
      kept.add(name);
      const html = part.outerHTML;
      const here = root.querySelector(`[data-part="${name}"]`);
      if (shown.get(name) === html && here) continue;
      shown.set(name, html);
      if (!here) {
        const after = shownBefore(part.dataset.part, names);
        if (after) after.after(part);
        else root.prepend(part);
        continue;
      }
      const scrolled = [...here.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
      const follows = here.querySelector(".scroll")?.dataset.follows;
      const asking = here.querySelector("details[open]") !== null && part.querySelector("details") !== null;
      const typing = here.contains(document.activeElement) && document.activeElement.matches("input");
      if (asking || typing) continue; // what somebody reads or writes stays
      here.replaceWith(part);
      part.querySelectorAll(".scroll").forEach((one, i) => (one.scrollLeft = scrolled[i] || 0));
      if (name === "graph") inView(part.querySelector(".scroll"), follows);
    }
    for (const here of root.querySelectorAll("[data-part]")) {
      if (!kept.has(here.dataset.part)) here.remove();
    }
    const head = root.querySelector("[data-title]");
    if (head) {
      const was = ended;
      ended = head.hasAttribute("data-ended");
      document.title = (ended ? signOf(head.dataset.state) + " " : "") + head.dataset.title;
      if (ended && !was) {
        icon(head.dataset.state);
        document.querySelector("p.said")?.remove(); // it spoke of what is over now
      }
      if (!ended && head.dataset.state === "attention") icon("attention");
    }
    say();
    relative();
  }

  function say() {
    // in a place that stays, or a screen reader does not notice that it has changed
    const place = root.querySelector("[data-heard]");
    const sentence = root.querySelector(".why .sentence")?.textContent || "";
    if (place && place.textContent !== sentence) place.textContent = sentence;
  }

  function shownBefore(name, names) {
    // the last part before this one that is on the page: a new part takes its place in the order
    for (const other of names.slice(0, names.indexOf(name)).reverse()) {
      const found = root.querySelector(`[data-part="${other}"]`);
      if (found) return found;
    }
    return null;
  }

  function tick() {
    const place = fresh();
    if (!place) return;
    const s = Math.round((Date.now() - seen) / 1000);
    place.textContent = ended ? "final" : signedOut ? "signed out; what you typed is kept" : s > 3 && (wait > EVERY_MS || s > PATIENCE_MS / 1000) ? `not reachable for ${s} s, trying again` : s < 1 ? "updated now" : `updated ${s} s ago`;
    place.classList.toggle("late", !ended && (signedOut || s > 3));
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !ended && timer === null) look();
  });
  setInterval(tick, 1000);
  if (ended) {
    const head = root.querySelector("[data-title]");
    icon(head.dataset.state);
    document.title = `${signOf(head.dataset.state)} ${head.dataset.title}`;
    tick();
  } else {
    timer = setTimeout(look, EVERY_MS);
    tick();
  }
}

function inView(place, follows) {
  // of a graph that is wider than the page, what happens now; unless somebody has scrolled it elsewhere
  if (!place || follows === "no") {
    if (place) place.dataset.follows = "no";
    return;
  }
  const now = place.querySelector("[data-now]");
  if (now && place.scrollWidth > place.clientWidth) {
    const box = now.getBoundingClientRect();
    place.scrollLeft += box.left + box.width / 2 - place.getBoundingClientRect().left - place.clientWidth / 2;
  }
}

document.addEventListener(
  "pointerdown",
  (event) => {
    const place = event.target.closest(".graph .scroll");
    if (place) place.dataset.follows = "no";
  },
  { passive: true },
);

function signOf(state) {
  return { completed: "✓", failed: "↩", cancelled: "↩", attention: "!" }[state] || "";
}

function icon(state) {
  const link = document.getElementById("favicon");
  const name = { completed: "mark-done", failed: "mark-undone", cancelled: "mark-undone", attention: "mark-attention" }[state];
  if (name) link.href = link.href.replace(/mark[a-z-]*\.svg/, `${name}.svg`);
}

// --- times -------------------------------------------------------------------------------------------------
function relative() {
  for (const one of document.querySelectorAll("time")) {
    const at = new Date(one.dateTime);
    const relative = one.hasAttribute("data-relative");
    if (!one.dataset.utc) {
      one.dataset.utc = one.title;
      one.title = `${one.title}\n${local(at)}`;
      if (!relative) one.textContent = local(at);
    }
    if (!relative) continue;
    const s = Math.round((Date.now() - at) / 1000);
    if (s >= 0 && one.dataset.relative === "ahead") one.textContent = "any moment";
    else one.textContent = s < 0 ? `in ${span(-s)}` : s < 2 ? "now" : `${span(s)} ago`;
  }
}

function local(at) {
  // date, time of day and zone of whoever reads it
  return at.toLocaleString(undefined, {
    year: at.getFullYear() === new Date().getFullYear() ? undefined : "numeric",
    month: "short",
    day: "numeric",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
    timeZoneName: "short",
  });
}

function span(s) {
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  return s < 86400 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
}

// --- buttons -----------------------------------------------------------------------------------------------
async function copy(button, text) {
  const was = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Press Ctrl-C";
    const place = button.closest(".command");
    if (place) getSelection().selectAllChildren(place.querySelector("code"));
    else prompt("Copy this:", text);
  }
  setTimeout(() => (button.textContent = was), 1500);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.copyText) copy(button, button.dataset.copyText);
  else if ("copy" in button.dataset) copy(button, button.closest(".command").querySelector("code").textContent);
  else if (button.dataset.fill) {
    const field = document.getElementById(button.dataset.fill);
    field.value = button.dataset.value;
    written = true;
    field.focus();
  }
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!("once" in form.dataset)) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes"; // a courtesy: the key in the form is what makes three clicks one job
  form.querySelector("button.main").textContent = "Starting…";
});

const again = document.querySelector("[data-again]"); // what could not be reached is asked for again
if (again) setTimeout(() => location.reload(), Number(again.dataset.again) * 1000);

window.addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload(); // back from the job's page: a new form with a new key
});

document.querySelectorAll("[data-live]").forEach(follow);
document.querySelectorAll(".graph .scroll").forEach((one) => inView(one));
relative();
setInterval(relative, 1000);
