"use strict";
// What comes from a task is put in as text, never as HTML: by `textContent` alone.
const $ = (id) => document.getElementById(id);
const rows = new Map(), elements = new Map();
const STORED = "rover-board-token";

function takeToken() {
  // The fragment is not sent to any server; out of the address, it is not bookmarked either.
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(STORED, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(STORED) || "";
}

const token = takeToken();

async function ask(path, body) {
  const headers = { Authorization: `Bearer ${token}` };
  if (body === undefined) return fetch(path, { headers });
  headers["Content-Type"] = "application/json";
  return fetch(path, { method: "POST", headers, body: JSON.stringify(body) });
}

function say(text, bad) {
  const message = $("message");
  message.textContent = text;
  message.classList.toggle("bad", Boolean(bad));
  message.hidden = !text;
}

function when(row) {
  const at = new Date(row.until || row.at);
  const clock = at.toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
  return `${row.until ? "resumes" : "since"} ${clock}`;
}

function part(tag, name, text) {
  const element = document.createElement(tag);
  element.className = name;
  element.textContent = text;
  return element;
}

function button(label, run) {
  const element = part("button", "", label);
  element.type = "button";
  element.addEventListener("click", () => run(element));
  return element;
}

function draw(row) {
  const item = document.createElement("li");
  item.className = "row";
  item.tabIndex = -1;
  item.dataset.id = row.id;
  item.append(part("bdi", "title", row.title), part("bdi", "says", row.says));
  const facts = part("p", "facts", "");
  const cost = row.cost_usd === null ? [] : [`$${row.cost_usd.toFixed(2)}`];
  const progress = row.group === "working" ? [`${row.progress} %`] : [];
  const shown = [`${row.project} ${row.number}`, row.status, row.agent, ...progress, ...cost];
  for (const text of shown) facts.append(part("span", "name", text));
  facts.append(part("span", "time", when(row)));
  const actions = part("div", "actions", "");
  for (const action of row.actions) actions.append(button(action.label, (b) => act(row, action, b)));
  if (row.group === "failed" || row.group === "finished") {
    actions.append(button("Seen", () => see(row)));
  }
  item.append(facts, actions);
  return item;
}

function place(row) {
  const old = elements.get(row.id);
  const hadFocus = old && old.contains(document.activeElement);
  remove(row.id);
  const item = draw(row);
  elements.set(row.id, item);
  rows.set(row.id, row);
  const list = document.querySelector(`[data-group="${row.group}"] .rows`);
  const isAfter = (other) => rows.get(other.dataset.id).order > row.order;
  const isLast = !list.lastElementChild || !isAfter(list.lastElementChild);
  list.insertBefore(item, isLast ? null : [...list.children].find(isAfter));
  if (hadFocus) item.focus();
}

function remove(id) {
  if (elements.has(id)) elements.get(id).remove();
  elements.delete(id);
  rows.delete(id);
}

function count() {
  for (const section of document.querySelectorAll("[data-group]")) {
    const number = section.querySelector(".rows").children.length;
    section.hidden = number === 0;
    section.querySelector(".count").textContent = String(number);
  }
  const waiting = $("needs_you").querySelector(".rows").children.length;
  document.title = waiting ? `(${waiting}) Rover board` : "Rover board";
  const first = document.querySelector(".row");
  if (first && !document.querySelector('.row[tabindex="0"]')) first.tabIndex = 0;
}

function take(name, data) {
  if (name === "all") [...rows.keys()].forEach(remove);
  (data.gone || []).forEach(remove);
  data.rows.sort((a, b) => a.order - b.order).forEach(place);
  count();
  $("empty").hidden = rows.size > 0 || data.more;
}

async function act(row, action, source, more) {
  const given = { tool: action.tool, arguments: { ...action.arguments, ...more } };
  if (action.asks === "text" && !more) {
    const text = await open(`${row.project} ${row.number}: ${row.title}`, action.label, null);
    if (!text) return;
    given.arguments.instructions = text;
  }
  source.disabled = true;
  try {
    const response = await ask("/api/call", given);
    const answer = await response.json();
    if (!response.ok) return say([answer.message || answer.error, answer.hint].filter(Boolean).join("\n"), true);
    if (action.asks !== "preview" || more) return say(answer.message);
    if (!answer.confirm) return say(answer.message, true);
    const shown = [answer.message, answer.subject].filter(Boolean).join("\n\n");
    if (await open(`${row.project} ${row.number}: ${row.title}`, action.label, shown)) {
      await act(row, action, source, answer.confirm);
    }
  } catch (error) {
    say(`The call did not come through: ${error.message}`, true);
  } finally {
    source.disabled = false;
  }
}

async function see(row) {
  const response = await ask("/api/seen", { task: row.id, ended_at: row.ended_at });
  if (!response.ok) say("The task could not be marked as seen.", true);
}

function open(title, label, preview) {
  const dialog = $("ask");
  $("ask-title").textContent = title;
  $("ask-do").textContent = label;
  $("ask-preview").textContent = preview || "";
  $("ask-preview").hidden = preview === null;
  $("ask-label").hidden = preview !== null;
  $("ask-text").value = "";
  dialog.returnValue = "cancel";
  dialog.showModal();
  (preview === null ? $("ask-text") : $("ask-do")).focus();
  return new Promise((done) => {
    const closed = () => done(dialog.returnValue === "do" && (preview !== null || $("ask-text").value.trim()));
    dialog.addEventListener("close", closed, { once: true });
  });
}

async function listen() {
  const response = await ask("/api/rows");
  if (response.status === 401) return say("The token is missing or too old: run rover board.", true);
  if (!response.ok) throw new Error(String(response.status));
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return true;
    const frames = (text + value).split("\n\n");
    text = frames.pop();
    for (const frame of frames) {
      const found = /^event: (\w+)\ndata: (.*)$/.exec(frame);
      if (found) take(found[1], JSON.parse(found[2]));
    }
    $("state").textContent = "live";
  }
}

async function follow() {
  while (await listen().catch(() => true)) {
    $("state").textContent = "connecting again";
    await new Promise((later) => setTimeout(later, 1000));
  }
  $("state").textContent = "not connected";
}

document.addEventListener("keydown", (event) => {
  if (event.target.closest("dialog, textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
  const all = [...document.querySelectorAll(".row")].filter((row) => row.checkVisibility());
  const here = document.activeElement.closest(".row");
  const step = { j: 1, k: -1 }[event.key];
  if (step) (all[all.indexOf(here) + step] || here || all[0])?.focus();
  else if (event.key === "?") $("keys").showModal();
  else if (here && event.key === "s") [...here.querySelectorAll("button")].find((b) => b.textContent === "Seen")?.click();
  else if (here && /^[1-9]$/.test(event.key)) here.querySelectorAll("button")[event.key - 1]?.click();
  else return;
  event.preventDefault();
});
$("keys-button").addEventListener("click", () => $("keys").showModal());
follow();
