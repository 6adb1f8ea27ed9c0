// Elements made of text, never of markup; numbers as people write them.
const NS = "http://www.w3.org/2000/svg";
const D = JSON.parse(document.getElementById("record").textContent);
const C = D.compare;
const IDS = Object.keys(D.agents);

function put(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  for (const child of [children].flat(9)) {
    if (child === null || child === undefined || child === "") continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}
const el = (name, attributes, ...children) =>
  put(document.createElement(name), attributes, children);
const sv = (name, attributes, ...children) =>
  put(document.createElementNS(NS, name), attributes, children);

const fixed = (value, digits = 2) => value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
const interval = ([value, low, high]) => `${fixed(value)} [${fixed(low)}, ${fixed(high)}]`;
const grouped = (value) => String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ",");
const percent = (value) => `${Math.round(100 * value)} %`;
function short(value) {
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e3, "k"]])
    if (value >= unit) return `${Number((value / unit).toPrecision(3))}${letter}`;
  return String(value);
}
const two = (value) =>
  value === null || value === undefined ? ".."
    : Math.abs(value) < 99.5 ? value.toPrecision(2) : grouped(value);
const pText = (p) =>
  p === null || p === undefined ? "" : p < 0.001 ? "< .001"
    : p < 0.9995 ? p.toFixed(3).replace(/^0/, "") : "1";
const axisName = (axis) => axis.replace(/^[^.]*\./, "");
const plural = (n, noun) => `${grouped(n)} ${noun}${n === 1 ? "" : "s"}`;

// Moves the focus to the page's own parts without leaving the address that is shown.
function say(text) {
  document.getElementById("said").textContent = text;
}
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { class: "unseen" }, text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  say(`copied: ${text}`);
}
function download(name, type, text) {
  const link = el("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, "'\\''")}'`);
const playCommand = (id) => `whichgoal play ${id} --storage ${quoted(D.storage)}`;

// What is shown follows from the filter, and whoever draws agents listens to it.
const shown = { cell: null, verdict: null, text: "" };
const listeners = [];
function filter(change) {
  Object.assign(shown, change);
  for (const listener of listeners) listener();
}
const passes = (id) => {
  const agent = D.agents[id];
  const words = `${id} ${D.names[agent.cell]} ${agent.verdict} seed ${agent.seed}`.toLowerCase();
  return (
    (shown.cell === null || agent.cell === shown.cell) &&
    (shown.verdict === null || agent.verdict === shown.verdict) &&
    shown.text.toLowerCase().split(/\s+/).every((word) => words.includes(word))
  );
};
