// The page: settings, columns, and the stream that fills them.

import { events, get, post } from "./api.js";
import { hideNext, showNext } from "./bars.js";
import { Column } from "./column.js";
import { readLink, writeLink } from "./link.js";
import { watch } from "./training.js";

const at = (id) => document.getElementById(id);
const DEFAULT = [0.5, 0.8, 1.1];
const FEWEST = 2;
let most = 5;
let columns = [];
let models = [];
let running = null; // an AbortController
let last = null; // what the columns show: {model, on_unknown}

function tell(message, isFault = false) {
  at("status").textContent = message;
  at("status").classList.toggle("fault", isFault);
}

const fault = (error) => tell(error.message, true);

function addColumn(temperature) {
  const column = new Column(temperature, {
    onPlace: place, onRemove: removeColumn, onFault: fault,
  });
  columns.push(column);
  at("columns").append(column.root);
  count();
}

function removeColumn(column) {
  columns = columns.filter((each) => each !== column);
  column.root.remove();
  count();
  at("add").focus();
}

// A link may have one column.
function count() {
  at("add").disabled = columns.length >= most || running !== null;
  at("write").disabled = running !== null;
  columns.forEach((each) => {
    each.removing.disabled = columns.length <= FEWEST || running !== null;
  });
}

function place(column, prefix, chosen) {
  columns.filter((each) => each !== column).forEach((each) => each.leave());
  if (last) showNext(last, prefix, chosen, fault);
}

function closeNext() {
  columns.forEach((each) => each.leave());
  hideNext();
}

function asked() {
  const found = {
    model: at("model").value,
    prime: at("prime").value,
    temperatures: columns.map((each) => each.temperature),
    on_unknown: at("on_unknown").value,
    kernels: at("kernels").value,
  };
  for (const name of ["length", "top_k", "top_p", "min_p"]) {
    found[name] = at(name).valueAsNumber;
  }
  if (at("seed").value) found.seed = Number(at("seed").value);
  return found;
}

function setRunning(controller) {
  running = controller;
  at("stop").disabled = controller === null;
  at("columns").setAttribute("aria-busy", String(controller !== null));
  count();
}

// What each event of the stream does.
const DOES = {
  start(data, settings) {
    last = { model: data.model, on_unknown: settings.on_unknown };
    writeLink(settings, data);
    at("about").textContent = `${data.model}: ${data.network}`;
    tell(`Writing with seed ${data.seed}.`);
  },
  text(data) {
    data.pieces.forEach((piece, i) => columns[i].append(piece));
  },
  figures(data) {
    data.columns.forEach((values, i) => columns[i].measure(values));
  },
  corpus(data) {
    data.columns.forEach((values, i) => columns[i].measure(values));
  },
  end(data) {
    const seed = new URLSearchParams(location.hash.slice(1)).get("seed");
    const total = data.characters.toLocaleString("en");
    tell(`${total} characters in ${data.seconds.toFixed(1)} seconds, seed ${seed}.`);
  },
  error(data) {
    fault(new Error(data.error));
  },
};

async function write() {
  running?.abort();
  const controller = new AbortController();
  const settings = asked();
  setRunning(controller);
  closeNext();
  columns.forEach((each) => each.clear(settings.prime));
  try {
    for await (const { name, data } of events("/api/generate", settings, controller.signal)) {
      DOES[name]?.(data, settings);
    }
    if (at("tint").checked) await tint();
  } catch (error) {
    if (error.name !== "AbortError") fault(error);
    else if (running === controller) tell("Stopped.");
  }
  if (running === controller) setRunning(null);
}

async function surpriseOf(column) {
  const { prime, text } = column;
  if (!text) return null;
  const answer = await post("/api/surprise", { ...last, prime, text });
  const found = await answer.json();
  return column.text === text ? found.bits : null;
}

async function tint() {
  const wanted = at("tint").checked;
  at("scale").hidden = !wanted;
  try {
    for (const column of columns) column.tint(wanted ? await surpriseOf(column) : null);
  } catch (error) {
    fault(error);
  }
}

function watchModel() {
  const model = models.find((each) => each.name === at("model").value);
  at("follow").checked = Boolean(model?.training);
  watch(model?.kind === "run" ? model.name : "", () => {
    if (at("follow").checked && !running) write();
  });
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    tell("The link is copied. It writes the same text again.");
  } catch {
    tell("The link is the address of this page. It writes the same text again.");
  }
}

const KINDS = { "built-in": " (comes with charrnn)", file: " (file)", run: "" };

async function listModels() {
  const found = await (await get("/api/models")).json();
  models = found.models;
  most = found.most_columns;
  const options = models.map(({ name, kind, training }) =>
    new Option(name + (training ? " (training now)" : KINDS[kind]), name));
  at("model").replaceChildren(...options);
}

function fillIn() {
  const temperatures = readLink();
  columns.forEach((each) => each.root.remove());
  columns = [];
  (temperatures?.length ? temperatures : DEFAULT).forEach(addColumn);
  watchModel();
  return temperatures !== null;
}

async function begin() {
  try {
    await listModels();
  } catch (error) {
    fault(error);
  }
  if (fillIn()) await write();
}

at("settings").addEventListener("submit", (event) => {
  event.preventDefault();
  write();
});
at("stop").addEventListener("click", () => running?.abort());
at("add").addEventListener("click", () => {
  addColumn(Math.min(100, Math.round((columns.at(-1).temperature || 0.5) * 10 + 3) / 10));
});
at("link").addEventListener("click", copyLink);
at("tint").addEventListener("change", tint);
at("close").addEventListener("click", closeNext);
at("model").addEventListener("change", watchModel);
addEventListener("keydown", (event) => event.key === "Escape" && closeNext());
addEventListener("hashchange", () => fillIn() && write());
begin();
