// Comforts of the app. Every page works without this file: forms submit, links lead.
"use strict";

document.documentElement.classList.add("has-script");

// "/" goes to the search of the page, else to the one of the menu.
addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const box = document.querySelector("main [role=search] input[type=search]") ?? document.getElementById("find");
  if (!box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// A form that answers while one types: the same page is asked for, and its part put in place.
for (const form of document.querySelectorAll("form[data-live]")) {
  const target = form.dataset.live;
  let wanted = 0;
  let timer;
  const ask = async () => {
    const turn = ++wanted;
    const fields = new URLSearchParams([...new FormData(form)].filter(([, value]) => value.trim()));
    const address = `${form.action.split("?")[0]}?${fields}`;
    document.querySelector(target).dataset.busy = "";
    const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
    if (turn !== wanted) return;
    const found = answer && new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(target);
    if (turn !== wanted) return;
    if (!found) {
      // Signed out meanwhile, or refused: let the page itself say so.
      if (answer) location.assign(address);
      else delete document.querySelector(target).dataset.busy;
      return;
    }
    document.querySelector(target).replaceWith(document.adoptNode(found));
    history.replaceState(null, "", address);
    dispatchEvent(new Event("found"));
  };
  form.addEventListener("input", (event) => {
    clearTimeout(timer);
    timer = setTimeout(ask, event.target.type === "search" ? 220 : 0);
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(timer);
    ask();
  });
}

// Arrow keys walk from a search box through its results and back.
addEventListener("keydown", (event) => {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const box = document.querySelector("[data-down]");
  if (!box) return;
  const stops = [box, ...document.querySelectorAll(box.dataset.down)];
  const at = stops.indexOf(document.activeElement);
  if (at < 0) return;
  const next = stops[at + (event.key === "ArrowDown" ? 1 : -1)];
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// How many items are chosen; nothing is offered to be done with none of them.
function count() {
  const line = document.querySelector("[data-chosen]");
  if (!line) return;
  const chosen = document.querySelectorAll(`${line.dataset.chosenOf}:checked`).length;
  line.textContent = chosen ? `${chosen} chosen:` : "Choose items, then:";
  for (const button of line.closest("form").querySelectorAll("button")) button.disabled = !chosen;
}
addEventListener("change", count);
addEventListener("found", count);
addEventListener("pageshow", count);

// A part that is not finished yet is asked for again until it is.
async function again() {
  const part = document.querySelector("[data-again]");
  if (!part) return;
  await new Promise((resolve) => setTimeout(resolve, 1500));
  if (!document.hidden) {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
    const page = answer?.ok && new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page && page.getElementById(part.id);
    if (found && !("again" in found.dataset)) location.reload(); // done: the rest of the page says how it went
    else if (found) part.replaceWith(document.adoptNode(found));
  }
  again();
}
again();
