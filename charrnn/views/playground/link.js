// The settings in the address, behind the #, which is never sent anywhere.

const FIELDS = ["model", "prime", "length", "seed", "top_k", "top_p", "min_p"];
const CHOICES = ["on_unknown", "kernels"];
const field = (name) => document.getElementById(name);

// Fills in the form; returns the temperatures, or null without a link.
export function readLink() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.has("t")) return null;
  for (const name of [...FIELDS, ...CHOICES]) {
    if (given.has(name)) choose(field(name), given.get(name));
  }
  const found = given.get("t").split(",").map(Number);
  return found.filter((t) => t >= 0 && t <= 100).slice(0, 5);
}

// A model that is not in the list is added to it, so that the server can name it.
function choose(element, value) {
  element.value = value;
  if (element.tagName === "SELECT" && element.value !== value) {
    element.add(new Option(value, value));
    element.value = value;
  }
}

export function writeLink(asked, started) {
  const link = new URLSearchParams();
  for (const name of [...FIELDS, ...CHOICES]) link.set(name, asked[name] ?? "");
  link.set("model", started.model);
  link.set("seed", started.seed);
  link.set("kernels", started.kernels);
  link.set("t", asked.temperatures.join(","));
  history.replaceState(null, "", `#${link}`);
}
