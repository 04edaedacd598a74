// Small comforts. Every page works without this file.
"use strict";

// "/" goes to the search box, as on many sites, unless somebody is typing.
document.addEventListener("keydown", (event) => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  const box = document.querySelector("[role=search]:not([hidden]) input[type=search]");
  if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey || !box) return;
  event.preventDefault();
  box.focus();
  box.select();
});

// A link to a route or an object opens it: browsers only scroll to a closed <details>.
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName !== "DETAILS") return;
  target.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();

// The reference: show the routes that contain every word.
const filter = document.querySelector("[data-filter]");
if (filter) {
  const count = filter.querySelector("[data-filter-count]");
  const routes = [...document.querySelectorAll("[data-find]")];
  const apply = () => {
    const words = filter.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const route of routes) {
      const text = route.dataset.find.toLowerCase();
      route.hidden = !words.every((word) => text.includes(word));
    }
    for (const group of document.querySelectorAll("[data-group]")) {
      group.hidden = !group.querySelector("[data-find]:not([hidden])");
    }
    const shown = routes.filter((route) => !route.hidden).length;
    count.textContent = words.length ? `${shown} of ${routes.length} routes` : "";
  };
  filter.hidden = false;
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
}
