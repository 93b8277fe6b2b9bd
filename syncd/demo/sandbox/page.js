"use strict";

// Order data is hostile: it reaches the page as textContent only, never as markup.

const ROWS = 25;
const EVERY_MS = 1000;
const PRODUCTS = 4;

const find = (id) => document.getElementById(id);
const shown = new Map(); // orderid -> {row, raw, state}
let offset = 0;
let isFirstPage = true;

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function grouped(number) {
  return number.toLocaleString("en");
}

async function read(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

// --- one row ---------------------------------------------------------------

const CELLS = [
  ["id", (order) => order.orderid],
  ["time", (order) => order.created_at],
  ["time", (order) => order.received_at.slice(0, 19).replace("T", " ")],
  ["flag", (order) => order.api_inserted],
  ["flag", (order) => order.api_verified],
  ["flag", (order) => order.merged],
  ["products", products],
  ["total number", (order) => [order.total, order.currency].filter(Boolean).join(" ")],
  ["language", (order) => order.languages.join(", ")],
  ["posts number", (order) => String(order.posts)],
];

function products(order) {
  if (!order.body_kept) return "no longer kept";
  const named = order.products
    .slice(0, PRODUCTS)
    .map((line) => `${line.id ?? "?"}\u00a0×\u00a0${line.quantity ?? "?"}`);
  const rest = order.products.length - named.length;
  return named.join(", ") + (rest > 0 ? `, and ${rest} more` : "");
}

function newRow(orderid) {
  const row = document.createElement("tr");
  row.className = isFirstPage ? "order" : "order new";
  for (const [kind] of CELLS) {
    const cell = row.insertCell();
    cell.className = kind;
    cell.append(document.createElement(kind === "id" ? "button" : "span"));
  }
  row.querySelector("button").type = "button";
  row.querySelector("button").setAttribute("aria-expanded", "false");
  row.addEventListener("click", () => toggle(orderid));
  return row;
}

function fill(entry, order) {
  const state = JSON.stringify(order);
  if (state === entry.state) return;
  entry.state = state;
  CELLS.forEach(([kind, value], index) => {
    const cell = entry.row.cells[index];
    const content = value(order);
    if (kind === "flag") cell.classList.toggle("yes", content);
    write(cell.firstChild, kind === "flag" ? (content ? "yes" : "no") : content);
  });
  entry.row.lastChild.classList.toggle("repeated", order.posts > 1);
  if (entry.raw) showRaw(entry, order.orderid);
}

async function toggle(orderid) {
  const entry = shown.get(orderid);
  if (getSelection().toString()) return;
  const isOpen = !entry.raw;
  entry.row.querySelector("button").setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) {
    entry.raw.remove();
    entry.raw = null;
    return;
  }
  entry.raw = document.createElement("tr");
  entry.raw.className = "raw";
  const cell = entry.raw.insertCell();
  cell.colSpan = CELLS.length;
  cell.append(document.createElement("pre"));
  entry.row.after(entry.raw);
  await showRaw(entry, orderid);
}

async function showRaw(entry, orderid) {
  const pre = entry.raw.querySelector("pre");
  try {
    const answer = await read(`/sandbox/purchases/${encodeURIComponent(orderid)}`);
    write(pre, await answer.text());
  } catch (error) {
    write(pre, String(error));
  }
}

// --- the page --------------------------------------------------------------

function showRows(orders) {
  const wanted = new Set(orders.map((order) => order.orderid));
  for (const [orderid, entry] of shown) {
    if (wanted.has(orderid)) continue;
    entry.row.remove();
    entry.raw?.remove();
    shown.delete(orderid);
  }
  let next = find("rows").firstChild;
  for (const order of orders) {
    let entry = shown.get(order.orderid);
    if (!entry) {
      entry = { row: newRow(order.orderid), raw: null, state: "" };
      shown.set(order.orderid, entry);
    }
    fill(entry, order);
    for (const node of [entry.row, entry.raw].filter(Boolean)) {
      if (node === next) next = next.nextSibling;
      else find("rows").insertBefore(node, next);
    }
  }
}

function showRange(count, here) {
  const last = offset + here;
  write(find("range"), here ? `${grouped(offset + 1)}–${grouped(last)} of ${grouped(count)}` : "");
  find("newer").disabled = offset === 0;
  find("older").disabled = last >= count;
  find("nothing").hidden = here > 0;
  const reason = find("filter").value || offset ? "No order id matches." : "Nothing received yet.";
  write(find("nothing"), reason);
}

function showTotals(totals) {
  for (const node of document.querySelectorAll("[data-total]")) {
    write(node, grouped(totals[node.dataset.total]));
  }
  write(find("account"), `account ${totals.account}`);
}

function showFaults(queued) {
  const named = queued.map(({ fault, times, ...options }) => {
    const count = times === null ? "until cleared" : `× ${times}`;
    const rest = Object.keys(options).length ? ` ${JSON.stringify(options)}` : "";
    return `${fault} ${count}${rest}`;
  });
  find("faults").hidden = named.length === 0;
  write(find("faults"), `Faults queued: ${named.join(" · ")}`);
}

function showConnection(isLost) {
  find("connection").classList.toggle("lost", isLost);
  write(find("connection"), isLost ? "does not answer; trying again" : "refreshed each second");
}

async function load() {
  const query = new URLSearchParams({ limit: ROWS, offset, q: find("filter").value.trim() });
  const paths = [
    "/sandbox/totals",
    `/sandbox/purchases?${query}`,
    "/sandbox/faults",
    "/sandbox/suggestions",
  ];
  const answers = await Promise.all(paths.map(read));
  const [totals, page, faults, suggestions] = await Promise.all(answers.map((answer) => answer.json()));
  if (Number(query.get("offset")) !== offset) return;
  showTotals(totals);
  showRows(page.purchases);
  showRange(page.count, page.purchases.length);
  showFaults(faults.queued);
  find("suggestions").hidden = suggestions.commands.length === 0;
  write(document.querySelector("#suggestions pre"), suggestions.commands.join("\n"));
  isFirstPage = false;
}

let timer = 0;

async function refresh() {
  clearTimeout(timer);
  const mine = (timer = setTimeout(() => {}, 0));
  try {
    if (!document.hidden) await load();
    showConnection(false);
  } catch {
    showConnection(true);
  }
  if (timer === mine) timer = setTimeout(refresh, EVERY_MS);
}

function turn(step) {
  offset = Math.max(0, offset + step);
  isFirstPage = true;
  refresh();
}

find("newer").addEventListener("click", () => turn(-ROWS));
find("older").addEventListener("click", () => turn(ROWS));
find("filter").addEventListener("input", () => turn(-offset));
document.addEventListener("visibilitychange", refresh);
refresh();
