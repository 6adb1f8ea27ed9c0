// Colors of Okabe and Ito, which the color-blind can tell apart; and marks, without any color.
const MARKS = {
  circle: "M0,-4.4A4.4,4.4 0 1 1 0,4.4A4.4,4.4 0 1 1 0,-4.4Z",
  triangle: "M0,-5.4L5,3.8L-5,3.8Z",
  diamond: "M0,-5.6L5,0L0,5.6L-5,0Z",
  square: "M-4,-4H4V4H-4Z",
  cross: "M-4.6,-2.6L-2.6,-4.6L0,-2L2.6,-4.6L4.6,-2.6L2,0L4.6,2.6L2.6,4.6L0,2L-2.6,4.6L-4.6,2.6L-2,0Z",
  bar: "M-5,-1.6H5V1.6H-5Z",
  down: "M0,5.4L5,-3.8L-5,-3.8Z",
  plus: "M-1.5,-5H1.5V-1.5H5V1.5H1.5V5H-1.5V1.5H-5V-1.5H-1.5Z",
};
const VERDICTS = {
  intended: ["#009e73", "circle"],
  misgeneralized: ["#d55e00", "triangle"],
  mixed: ["#cc79a7", "diamond"],
  undetermined: ["#56b4e9", "square"],
  capability_failure: ["#444444", "cross"],
  untrained: ["#999999", "bar"],
};
const SECOND = [["#d55e00", "triangle"], ["#e69f00", "down"], ["#0072b2", "plus"]];
const ARCHS = [
  ["#0072b2", "circle"], ["#d55e00", "square"], ["#009e73", "triangle"], ["#cc79a7", "diamond"],
  ["#e69f00", "down"], ["#56b4e9", "plus"], ["#333333", "cross"],
];
const lookOf = (verdict) => {
  const [outcome, proxy] = verdict.split(":");
  if (!proxy) return VERDICTS[outcome] || VERDICTS.undetermined;
  return SECOND[Math.max(0, C.proxies.indexOf(proxy)) % SECOND.length];
};
const ORDER = ["intended", ...C.proxies.map((p) => `misgeneralized:${p}`),
  "mixed", "undetermined", "capability_failure", "untrained"];
const GOT = ORDER.filter((v) => IDS.some((id) => D.agents[id].verdict === v));

const mark = ([color, name], x, y, attributes) =>
  sv("path", { d: MARKS[name], transform: `translate(${x.toFixed(1)},${y.toFixed(1)})`,
    fill: color, stroke: "#fff", "stroke-width": 0.7, ...attributes });
const sample = (look) =>
  sv("svg", { width: 14, height: 14, viewBox: "-7 -7 14 14", "aria-hidden": "true" }, mark(look, 0, 0));
const verdictName = (verdict) =>
  el("span", { class: "verdict" }, sample(lookOf(verdict)), verdict);

// Draws into a box as wide as it is, and again when it changes; `draw` gets the width.
function fitted(box, draw) {
  let last = 0;
  const again = (force) => {
    const width = Math.floor(box.clientWidth);
    if (!width || (width === last && !force)) return;
    last = width;
    box.replaceChildren(draw(width));
  };
  new ResizeObserver(() => again(false)).observe(box);
  return () => again(true);
}
