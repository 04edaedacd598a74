// The map beyond a picture: zoom, filters, and time. Without this file it is drawn, linked and told as a table.
"use strict";

const map = document.querySelector("[data-map]");
if (map) {
  for (const tool of document.querySelectorAll("[data-script]")) tool.hidden = false;
  const [WIDTH, HEIGHT] = [1000, 680];
  const view = { x: 0, y: 0, near: 1 };
  const group = map.querySelector("[data-bubbles]");
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  const labels = map.querySelector("[data-labels]");
  const label = (id) => labels.querySelector(`[data-of="${id}"]`);

  // `near` is how many times nearer than the whole; the part in view stays within the drawing.
  function look(x, y, near) {
    view.near = Math.min(12, Math.max(1, near));
    const [width, height] = [WIDTH / view.near, HEIGHT / view.near];
    view.x = Math.min(WIDTH - width, Math.max(0, x));
    view.y = Math.min(HEIGHT - height, Math.max(0, y));
    map.setAttribute("viewBox", `${view.x} ${view.y} ${width} ${height}`);
  }
  function zoom(by, at = { x: view.x + WIDTH / view.near / 2, y: view.y + HEIGHT / view.near / 2 }) {
    const near = Math.min(12, Math.max(1, view.near / by));
    look(at.x - ((at.x - view.x) * view.near) / near, at.y - ((at.y - view.y) * view.near) / near, near);
  }
  function place(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(map.getScreenCTM().inverse());
    return { x: at.x, y: at.y };
  }
  for (const button of document.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", () => {
      if (button.dataset.zoom !== "reset") return zoom(Number(button.dataset.zoom));
      return look(0, 0, 1);
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
    if (!held || view.near === 1) return;
    const at = place(event);
    moved = moved || Math.hypot(at.x - held.x, at.y - held.y) > 6;
    look(view.x + held.x - at.x, view.y + held.y - at.y, view.near);
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
      label(bubble.dataset.id).classList.toggle("faint", !fits);
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
      labels.appendChild(document.createElementNS(ns, "text")).dataset.of = id;
      return link;
    }
    function draw(link, [, x, y, r]) {
      const [circle, text] = [link.querySelector("circle"), label(link.dataset.id)];
      for (const [key, value] of [["cx", x], ["cy", y], ["r", r]]) circle.setAttribute(key, value);
      text.setAttribute("x", x);
      text.setAttribute("y", y + r + 20);
      link.at = [0, x, y, r];
    }
    function dress(link, [, , , , shade, border, title, words]) {
      link.querySelector("circle").setAttribute("class", `bubble c${shade} ${border}`);
      link.querySelector("title").textContent = `${title}: ${words}`;
      label(link.dataset.id).textContent = title;
      link.setAttribute("aria-label", `${title}: ${words}`);
      link.dataset.name = title.toLowerCase();
      link.dataset.border = border;
    }
    function show(index) {
      const frame = frames[index];
      said.textContent = index === frames.length - 1 ? now : frame.at;
      const there = new Map(frame.bubbles.map((one) => [String(one[0]), one]));
      for (const link of group.children) {
        const isGone = !there.has(link.dataset.id);
        link.classList.toggle("gone", isGone);
        label(link.dataset.id).classList.toggle("gone", isGone);
      }
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
