// What the model expects at a place of a text, as bars.

import { post } from "./api.js";

const TOP = 10;
const PAUSE = 120; // ms; someone who holds an arrow key asks only once
const panel = document.getElementById("next");
let timer = null;
let asking = new AbortController();

const NAMES = { "": "end", "\n": "\u21b5", " ": "\u2423", "\t": "\u21e5" };
export const visible = (character) => NAMES[character] ?? character;

function element(tag, className, text = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function row({ character, probability }, chosen) {
  const line = element("li", character === chosen ? "chosen" : "");
  const bar = element("span", "bar");
  bar.style.width = `${100 * probability}%`;
  const percent = `${(100 * probability).toFixed(1)}%`;
  line.append(element("span", "character", visible(character)), bar);
  line.append(element("span", "number", percent));
  if (character === chosen) line.setAttribute("aria-current", "true");
  return line;
}

async function show(settings, prefix, chosen, onFault) {
  asking = new AbortController();
  try {
    const body = { ...settings, prefix, top: TOP };
    const answer = await post("/api/next", body, asking.signal);
    const { characters } = await answer.json();
    const rows = characters.map((each) => row(each, chosen));
    document.getElementById("context").textContent = [...prefix].slice(-40).join("");
    document.getElementById("bars").replaceChildren(...rows);
    panel.hidden = false;
  } catch (error) {
    if (error.name !== "AbortError") onFault(error);
  }
}

// `chosen` is the character that stands in the text after the prefix.
export function showNext(settings, prefix, chosen, onFault) {
  clearTimeout(timer);
  asking.abort();
  timer = setTimeout(() => show(settings, prefix, chosen, onFault), PAUSE);
}

export function hideNext() {
  clearTimeout(timer);
  asking.abort();
  panel.hidden = true;
}
