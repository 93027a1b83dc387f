// A column: a temperature, a text, its figures. Text gets into the page as text only.

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

const percent = (share) => `${Math.round(100 * share)}%`;
const level = (bits) => Math.max(0, Math.min(8, Math.round(bits)));

// The names that `charrnn compare` prints.
const FIGURES = {
  log_prob: ["log p", (value) => value.toFixed(3)],
  entropy: ["entropy", (value) => value.toFixed(3)],
  distinct_4grams: ["distinct", percent],
  repetition: ["repeated", percent],
  known_words: ["known", (value) => (value === null ? "none" : percent(value))],
  longest_copy: ["copied", (value) => `${[...value].length}`],
};

// The place in a text node that a point is in, or null.
function placeAt(x, y) {
  if (document.caretPositionFromPoint) {
    const found = document.caretPositionFromPoint(x, y);
    return found && { node: found.offsetNode, offset: found.offset };
  }
  const found = document.caretRangeFromPoint(x, y);
  return found && { node: found.startContainer, offset: found.startOffset };
}

function isIn(node, start, x, y) {
  const range = document.createRange();
  range.setStart(node, start);
  range.setEnd(node, Math.min(start + 1, node.length));
  return [...range.getClientRects()].some(
    (box) => box.left <= x && x < box.right && box.top <= y && y < box.bottom,
  );
}

export class Column {
  constructor(temperature, { onPlace, onRemove, onFault }) {
    this.onPlace = onPlace;
    this.onFault = onFault;
    this.input = element("input", {
      type: "number", min: 0, max: 100, step: "any", required: true, value: temperature,
    });
    this.input.setAttribute("form", "settings");
    this.removing = element("button", { type: "button", textContent: "Remove" });
    this.removing.addEventListener("click", () => onRemove(this));
    this.copying = element("button", { type: "button", textContent: "Copy" });
    this.copying.addEventListener("click", () => this.copy());
    this.body = element("div", { className: "text", tabIndex: 0 });
    this.body.setAttribute("role", "group");
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("keydown", (event) => this.press(event));
    this.figures = element("dl", { className: "figures" });
    const label = element("label", {}, "Temperature", this.input);
    const buttons = element("div", { className: "row" }, this.copying, this.removing);
    const head = element("div", { className: "head" }, label, buttons);
    this.root = element("section", { className: "panel column" }, head, this.body);
    this.root.append(this.figures);
    this.clear("");
    this.name();
    this.input.addEventListener("input", () => this.name());
  }

  // Names the parts for screen readers.
  name() {
    const title = `temperature ${this.input.value}`;
    this.root.setAttribute("aria-label", title);
    this.body.setAttribute("aria-label", `Text at ${title}`);
    this.copying.setAttribute("aria-label", `Copy the text at ${title}`);
    this.removing.setAttribute("aria-label", `Remove the column of ${title}`);
  }

  get temperature() {
    return this.input.valueAsNumber;
  }

  clear(prime) {
    this.prime = prime;
    this.text = "";
    this.bits = null;
    this.here = null;
    this.values = {};
    this.figures.replaceChildren();
    this.render();
  }

  append(piece) {
    this.text += piece;
    this.shown.append(piece);
  }

  // The characters of the text; an emoji is one.
  get characters() {
    return [...this.text];
  }

  measure(values) {
    Object.assign(this.values, values);
    const rows = Object.entries(FIGURES)
      .filter(([key]) => key in this.values)
      .map(([key, [name, format]]) =>
        element("div", {}, element("dt", { textContent: name }),
          element("dd", { textContent: format(this.values[key]) })),
      );
    this.figures.replaceChildren(...rows);
  }

  // bits: the surprise of each character, or null.
  tint(bits) {
    this.bits = bits;
    this.render();
  }

  render() {
    const prime = element("span", { className: "prime", textContent: this.prime });
    this.shown = element("span");
    this.body.replaceChildren(prime, this.shown);
    const isPlain = !this.bits && this.here === null;
    this.shown.append(...(isPlain ? [this.text] : this.runs()));
    this.shown.normalize(); // leaves no empty node
  }

  // Stretches of one look.
  runs() {
    const looks = (character, i) => {
      const names = [];
      const strength = this.bits ? level(this.bits[i] ?? 0) : 0;
      if (strength) names.push(`t${strength}`);
      if (i === this.here) names.push("here");
      if (names.length && character === "\n") names.push("end");
      return names.join(" ");
    };
    const runs = [];
    this.characters.forEach((character, i) => {
      const look = looks(character, i);
      const last = runs[runs.length - 1];
      if (last && last.look === look && i !== this.here) last.text += character;
      else runs.push({ look, text: character });
    });
    return runs.map(({ look, text }) =>
      look ? element("i", { className: look, textContent: text }) : text);
  }

  // Marks a character, and shows what else could have come there.
  go(index) {
    const { characters } = this;
    this.here = Math.max(0, Math.min(index, characters.length));
    this.render();
    this.body.querySelector(".here")?.scrollIntoView({ block: "nearest" });
    const before = characters.slice(0, this.here).join("");
    this.onPlace(this, this.prime + before, characters[this.here]);
  }

  leave() {
    if (this.here === null) return;
    this.here = null;
    this.render();
  }

  click(event) {
    if (!getSelection().isCollapsed) return; // someone selects text
    const { clientX: x, clientY: y } = event;
    const found = placeAt(x, y);
    if (!found || !this.shown.contains(found.node) || !found.node.data) return;
    let { offset } = found;
    if (offset > 0 && !isIn(found.node, offset, x, y)) offset -= 1;
    const range = document.createRange();
    range.setStart(this.shown, 0);
    range.setEnd(found.node, offset);
    this.go([...range.toString()].length);
  }

  press(event) {
    const last = this.characters.length;
    const here = this.here ?? -1;
    const next = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.leave();
    if (event.ctrlKey || event.metaKey || event.altKey || next === undefined) return;
    event.preventDefault();
    this.go(next);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.prime + this.text);
      this.copying.textContent = "Copied";
      setTimeout(() => { this.copying.textContent = "Copy"; }, 1500);
    } catch {
      getSelection().selectAllChildren(this.body);
      this.onFault(new Error("The browser does not let this page copy; the text is selected."));
    }
  }
}
