// Keeps the dashboard current: asks for the figures as the page writes them, and changes only what differs.
"use strict";

const EVERY_MS = 5000;
const panel = document.querySelector("[data-refresh]");
const isWanted = panel.querySelector("input");
const status = panel.querySelector("[role=status]");
panel.hidden = false;

function put(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function rowOf(cells, columns) {
  const row = document.createElement("tr");
  cells.forEach((_, index) => {
    const cell = document.createElement(index ? "td" : "th");
    if (index) cell.dataset.label = columns[index];
    else cell.scope = "row";
    row.append(cell);
  });
  return row;
}

function showTable(table) {
  const section = document.querySelector(`[data-table="${table.key}"]`);
  const body = section.querySelector("tbody");
  section.hidden = table.rows.length === 0;
  while (body.rows.length > table.rows.length) body.deleteRow(-1);
  table.rows.forEach((cells, index) => {
    const row = body.rows[index] ?? body.appendChild(rowOf(cells, table.columns));
    cells.forEach((text, column) => put(row.cells[column], text));
  });
}

function show(shown) {
  const values = document.querySelectorAll("[data-cards] dd");
  shown.cards.forEach((card, index) => put(values[index], card.value));
  shown.tables.forEach(showTable);
}

async function refresh() {
  if (!isWanted.checked || document.hidden) return;
  try {
    const answer = await fetch("/dashboard/api", { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    show((await answer.json()).shown);
    put(status, "");
  } catch {
    put(status, "The server does not answer; these figures are old.");
  }
}

(async function keepCurrent() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    await refresh();
  }
})();
