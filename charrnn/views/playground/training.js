// The curve of a run, drawn anew while it is going on.

import { get } from "./api.js";

const PAUSE = 3000; // ms
const section = document.getElementById("run");
let timer = null;
let watched = "";

const best = (events) => events.filter((each) => each.best).at(-1);

function progress({ training, events }) {
  const last = events.at(-1);
  const words = [training ? "Training now." : "Not training."];
  if (last) {
    const loss = last.val_loss ?? last.train_loss;
    words.push(`Step ${last.step.toLocaleString("en")}: ${loss?.toFixed(4)} nats per character.`);
  }
  return words.join(" ");
}

// The picture comes from the server and holds numbers only. It is parsed as XML, in
// which nothing runs. It is empty for fewer than two validations.
async function draw(name) {
  const answer = await get(`/api/runs/${encodeURIComponent(name)}/curve.svg`);
  const source = await answer.text();
  const parsed = source && new DOMParser().parseFromString(source, "image/svg+xml");
  const nodes = parsed ? [document.importNode(parsed.documentElement, true)] : [];
  document.getElementById("curve").replaceChildren(...nodes);
}

async function look(name, seen, onBetter) {
  try {
    const answer = await get(`/api/runs/${encodeURIComponent(name)}/history`);
    const found = await answer.json();
    if (name !== watched) return;
    section.hidden = !found.events.length && !found.training;
    document.getElementById("again").hidden = !found.training;
    document.getElementById("progress").textContent = progress(found);
    if (found.events.length !== seen.length) await draw(name);
    const step = best(found.events)?.step;
    if (seen.step !== undefined && step !== seen.step) onBetter();
    if (found.training && name === watched) {
      const now = { length: found.events.length, step };
      timer = setTimeout(() => look(name, now, onBetter), PAUSE);
    }
  } catch {
    section.hidden = true; // writing reports what is wrong with the server
  }
}

// Shows the run of this name, or none; onBetter is called when it has better weights.
export function watch(name, onBetter) {
  clearTimeout(timer);
  watched = name;
  section.hidden = true;
  if (name) look(name, {}, onBetter);
}
