// The map beyond a picture: zoom, filters, and time. Without this file it is drawn, linked and told as a table.
"use strict";

const map = document.querySelector("[data-map]");
if (map) {
  for (const tool of document.querySelectorAll("[data-script]")) tool.hidden = false;
  const SIZE = 1000;
  const view = { x: 0, y: 0, size: SIZE };
  const group = map.querySelector("[data-bubbles]");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const look = () => map.setAttribute("viewBox", `${view.x} ${view.y} ${view.size} ${view.size}`);
  function zoom(by, at = { x: view.x + view.size / 2, y: view.y + view.size / 2 }) {
    const size = Math.min(SIZE, Math.max(SIZE / 12, view.size * by));
    const inside = (value) => Math.min(SIZE - size, Math.max(0, value));
    view.x = inside(at.x - (at.x - view.x) * (size / view.size));
    view.y = inside(at.y - (at.y - view.y) * (size / view.size));
    view.size = size;
    look();
  }
  function place(event) {
    const box = map.getBoundingClientRect();
    return {
      x: view.x + ((event.clientX - box.left) / box.width) * view.size,
      y: view.y + ((event.clientY - box.top) / box.height) * view.size,
    };
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      if (button.dataset.zoom !== "reset") return zoom(Number(button.dataset.zoom));
      Object.assign(view, { x: 0, y: 0, size: SIZE });
      return look();
    });
  }
  map.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls; with Ctrl the map zooms
    event.preventDefault();
    zoom(event.deltaY < 0 ? 0.85 : 1.18, place(event));
  }, { passive: false });

  // Drag to move about, once one is near enough for there to be something outside.
  let held = null;
  let moved = false;
  map.addEventListener("pointerdown", (event) => {
    held = place(event);
    moved = false;
  });
  map.addEventListener("pointermove", (event) => {
    if (!held || view.size === SIZE) return;
    const at = place(event);
    moved = moved || Math.hypot(at.x - held.x, at.y - held.y) > 6;
    view.x = Math.min(SIZE - view.size, Math.max(0, view.x + held.x - at.x));
    view.y = Math.min(SIZE - view.size, Math.max(0, view.y + held.y - at.y));
    look();
  });
  addEventListener("pointerup", () => { held = null; });
  map.addEventListener("click", (event) => {
    if (moved) event.preventDefault();
  });
  map.addEventListener("dragstart", (event) => event.preventDefault());

  const name = document.querySelector("[data-map-filter]");
  const fresh = document.querySelector("[data-map-fresh]");
  function filter() {
    const word = name.value.trim().toLowerCase();
    for (const bubble of group.children) {
      const fits = bubble.dataset.name.includes(word) && !(fresh.checked && bubble.dataset.border === "old");
      bubble.classList.toggle("faint", !fits);
      bubble.tabIndex = fits ? 0 : -1;
    }
  }
  name.addEventListener("input", filter);
  fresh.addEventListener("change", filter);

  // ---- time ------------------------------------------------------------------------------------------
  const time = document.querySelector("[data-time]");
  if (time) {
    const slider = time.querySelector("input");
    const play = time.querySelector("button");
    const said = time.querySelector("output");
    const now = said.textContent;
    let frames = null;
    let playing = null;
    let tween = 0;

    async function load() {
      if (frames) return frames;
      const answer = await fetch(map.dataset.frames);
      if (!answer.ok) return null;
      frames = (await answer.json()).frames;
      return frames;
    }
    function bubble(id) {
      return group.querySelector(`[data-id="${id}"]`) ?? group.appendChild(made(id));
    }
    function made(id) {
      const ns = "http://www.w3.org/2000/svg";
      const link = document.createElementNS(ns, "a");
      link.setAttribute("href", map.dataset.library + id);
      link.dataset.id = id;
      const circle = link.appendChild(document.createElementNS(ns, "circle"));
      circle.appendChild(document.createElementNS(ns, "title"));
      link.appendChild(document.createElementNS(ns, "text"));
      return link;
    }
    function draw(link, [, x, y, r]) {
      const [circle, text] = [link.querySelector("circle"), link.querySelector("text")];
      for (const [key, value] of [["cx", x], ["cy", y], ["r", r]]) circle.setAttribute(key, value);
      text.setAttribute("x", x);
      text.setAttribute("y", y + r + 24);
      link.at = [0, x, y, r];
    }
    function dress(link, [, , , , shade, border, label, words]) {
      link.querySelector("circle").setAttribute("class", `bubble c${shade} ${border}`);
      link.querySelector("title").textContent = `${label}: ${words}`;
      link.querySelector("text").textContent = label;
      link.setAttribute("aria-label", `${label}: ${words}`);
      link.dataset.name = label.toLowerCase();
      link.dataset.border = border;
    }
    function show(index) {
      const frame = frames[index];
      said.textContent = index === frames.length - 1 ? now : frame.at;
      const there = new Map(frame.bubbles.map((one) => [String(one[0]), one]));
      for (const link of group.children) link.classList.toggle("gone", !there.has(link.dataset.id));
      map.querySelector("[data-dots]").classList.toggle("gone", index !== frames.length - 1);
      const moves = frame.bubbles.map((to) => {
        const link = bubble(to[0]);
        dress(link, to);
        return { link, to, from: link.at ?? [0, to[1], to[2], link.querySelector("circle").getAttribute("r") ?? 0].map(Number) };
      });
      filter();
      const turn = ++tween;
      const began = performance.now();
      const step = (at) => {
        if (turn !== tween) return;
        const share = still ? 1 : Math.min(1, (at - began) / 450);
        const eased = share * (2 - share);
        for (const { link, to, from } of moves) draw(link, to.map((value, i) => (i > 0 && i < 4 ? from[i] + (value - from[i]) * eased : value)));
        if (share < 1) requestAnimationFrame(step);
      };
      requestAnimationFrame(step);
    }
    function stop() {
      clearInterval(playing);
      playing = null;
      play.textContent = "Play";
    }
    slider.addEventListener("input", async () => {
      if (await load()) show(Number(slider.value));
    });
    play.addEventListener("click", async () => {
      if (playing) return stop();
      if (!(await load())) return undefined;
      if (Number(slider.value) === frames.length - 1) slider.value = 0;
      show(Number(slider.value));
      play.textContent = "Stop";
      playing = setInterval(() => {
        slider.value = Number(slider.value) + 1;
        show(Number(slider.value));
        if (Number(slider.value) >= frames.length - 1) stop();
      }, 900);
      return undefined;
    });
    time.addEventListener("submit", (event) => event.preventDefault());
  }
}
