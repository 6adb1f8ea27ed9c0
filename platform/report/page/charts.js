// The figures: adoption over size, shares of verdicts, preference against capability.
const ARCH = "model.arch";
const CAPACITY = "model.capacity";
const sizeOf = (cell) => cell.trunk_parameters || cell.choices[CAPACITY] || 1;
const archOf = (cell) => String(cell.choices[ARCH] ?? "");
const archs = [...new Set(C.cells.map(archOf))];
const archLook = (name) => ARCHS[archs.indexOf(name) % ARCHS.length];

function outcomes() {
  const found = C.proxies.map((p) => ({
    key: `adoption:${p}`, verdict: `misgeneralized:${p}`, says: `adopt the ${p}`,
    share: (cell) => cell.adoption[p],
  }));
  found.push({ key: "intended", verdict: "intended", says: `pursue the ${C.goal}`,
    share: (cell) => cell.intended });
  const asked = C.asked.outcome;  // that of a verdict is asked of all agents
  if (asked !== "intended" && asked in C.cells[0].shares)
    found.push({ key: asked, verdict: asked, says: `get the verdict ${asked}`,
      share: (cell) => cell.shares[asked] });
  return found;
}

function adoption() {
  const all = outcomes();
  const state = { outcome: all.find((o) => o.key === C.asked.outcome) || all[0], of: "capable" };
  const groups = new Map();
  C.cells.forEach((_, number) => {
    const rest = D.beside[number];
    if (!groups.has(rest)) groups.set(rest, []);
    groups.get(rest).push(number);
  });
  const redraw = [];
  const panels = [...groups].map(([title, numbers]) => {
    const box = el("div", { class: "plot" });
    redraw.push(fitted(box, (width) => adoptionPanel(width, title, numbers, state)));
    return el("figure", {}, title ? el("figcaption", {}, title) : "", box);
  });
  const pick = (label, options, chosen, change) => el("label", {}, label, " ",
    el("select", { onchange: (e) => { change(e.target.value); redraw.forEach((f) => f()); } },
      options.map(([value, text]) => el("option", { value, selected: value === chosen }, text))));
  return section("adoption", `Adoption over ${C.sized_by || "cells"}`,
    el("p", { class: "hint" }, `The share of agents that ${state.outcome.says} (or what is chosen below), with ` +
      `${percent(C.confidence)} interval (none below three agents). Above and below, each agent is ` +
      "a mark: those that do, those that do not, and, hollow, those that are not surely capable. " +
      "Sizes that differ by less than a third share a place; a mark's text has the exact one."),
    el("div", { class: "controls" },
      pick("who", all.map((o) => [o.key, o.says]), state.outcome.key,
        (key) => { state.outcome = all.find((o) => o.key === key); }),
      pick("of", [["capable", "capable agents"], ["all", "all scored agents"],
        ["vague", "capable; mixed, undetermined as doing it"],
        ["matched", `capable, with a like at another ${axisName(C.asked.axis)}`]]
        .filter(([of]) => of !== "matched" || D.matched.length), state.of,
        (of) => { state.of = of; })),
    archs.length > 1 || archs[0] ? el("ul", { class: "legend" },
      archs.map((a) => el("li", {}, sample(archLook(a)), a || "agents"))) : "",
    el("div", { class: "plots" }, panels));
}

// Agents whose goal could not be told, counted as if they did it: a count, with no interval.
const VAGUE = ["mixed", "undetermined"];
function vagueShare(cell, verdict) {
  const some = cell.agents.filter((a) => a.capable || VAGUE.includes(a.verdict));
  const hits = some.filter((a) => a.verdict === verdict || VAGUE.includes(a.verdict)).length;
  return { hits, n: some.length, value: some.length ? hits / some.length : null, low: null, high: null };
}
// Agents of like capability and efficiency, wherever cells differ in the axis alone: a count, too.
const MATCHED = new Set(D.matched);
function matchedShare(cell, verdict) {
  const some = cell.agents.filter((a) => MATCHED.has(a.trial));
  const hits = some.filter((a) => a.verdict === verdict).length;
  return { hits, n: some.length, value: some.length ? hits / some.length : null, low: null, high: null };
}
function shareOf(cell, { of, outcome }) {
  if (of === "matched") return matchedShare(cell, outcome.verdict);
  if (of === "all") return cell.shares[outcome.verdict];
  return of === "vague" ? vagueShare(cell, outcome.verdict) : outcome.share(cell);
}

// Sizes that differ by less than a third share a place of the axis, at their middle.
const sizes = [...new Set(C.cells.map(sizeOf))].sort((a, b) => a - b);
const clusters = sizes.reduce((found, size, i) => {
  if (i && size <= 1.33 * sizes[i - 1]) found[found.length - 1].push(size);
  else found.push([size]);
  return found;
}, []);
const middle = (cluster) => Math.sqrt(cluster[0] * cluster[cluster.length - 1]);
const places = clusters.map(middle);
const placeOf = (cell) => middle(clusters.find((one) => one.includes(sizeOf(cell))));
const DOT = 6.5;

function adoptionPanel(width, title, numbers, state) {
  const left = 44, right = 12, plot = 190;
  const low = Math.log10(places[0]), high = Math.log10(places[places.length - 1]);
  const room = Math.max(0.18, (0.5 / places.length) * (high - low || 1));
  const x = (size) => left + (width - left - right) *
    ((Math.log10(size) - low + room) / (high - low + 2 * room));
  const gaps = places.map((p, i) => (i ? x(p) - x(places[i - 1]) : 2 * (x(p) - left)));
  const slot = Math.max(5, Math.min(30, (0.9 * Math.min(...gaps)) / archs.length));
  const columns = Math.max(1, Math.floor(slot / DOT));
  const most = (does) => Math.max(1, ...C.cells.map((cell) => cell.agents.filter((a) =>
    (a.verdict === state.outcome.verdict) === does).length));
  const strip = (does) => 16 + (DOT + 0.5) * Math.ceil(most(does) / columns);
  const top = strip(true), bottom = strip(false) + 44, height = top + plot + bottom;
  const y = (share) => top + (height - top - bottom) * (1 - share);
  const svg = sv("svg", { width, height, role: "group",
    "aria-label": `${state.outcome.says}, ${title || "all cells"}` });
  for (const share of [0, 0.25, 0.5, 0.75, 1])
    svg.append(sv("line", { class: "grid", x1: left, x2: width - right, y1: y(share), y2: y(share) }),
      sv("text", { x: left - 6, y: y(share) + 4, "text-anchor": "end" }, percent(share)));
  for (const size of places)
    svg.append(sv("text", { x: x(size), y: height - 22, "text-anchor": "middle" },
      short(Number(size.toPrecision(2)))));
  svg.append(sv("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" },
    C.sized_by || ""));
  for (const name of archs) {
    const look = archLook(name);
    const own = numbers.filter((n) => archOf(C.cells[n]) === name)
      .sort((a, b) => sizeOf(C.cells[a]) - sizeOf(C.cells[b]));
    const aside = (archs.indexOf(name) - (archs.length - 1) / 2) * slot;
    const points = own.map((n) => ({ n, cell: C.cells[n], x: x(placeOf(C.cells[n])) + aside }))
      .map((p) => ({ ...p, share: shareOf(p.cell, state) }));
    const known = points.filter((p) => p.share && p.share.value !== null);
    svg.append(sv("polyline", { fill: "none", stroke: look[0], "stroke-width": 1.6,
      points: known.map((p) => `${p.x.toFixed(1)},${y(p.share.value).toFixed(1)}`).join(" ") }));
    for (const p of known) {
      if (p.share.low !== null)
        svg.append(sv("line", { x1: p.x, x2: p.x, y1: y(p.share.low), y2: y(p.share.high),
          stroke: look[0], "stroke-width": 1.4, class: "interval" }));
      const told = `${D.names[p.n]}, ${grouped(sizeOf(p.cell))}: ${p.share.hits} of ${p.share.n} ` +
        state.outcome.says + (p.share.low === null ? "" :
          ` [${percent(p.share.low)}, ${percent(p.share.high)}]`);
      svg.append(put(mark(look, p.x, y(p.share.value), { class: "cell", "data-cell": p.n }), {
        onclick: () => filter({ cell: shown.cell === p.n ? null : p.n }),
      }, sv("title", {}, told)));
    }
    for (const p of points) strips(svg, p, look, columns, state, y);
  }
  for (const [text, at] of [["do", y(1) - 8], ["do not", y(0) + 18]])
    svg.append(sv("text", { x: 2, y: at, class: "strip" }, text));
  return svg;
}

// Every agent as a mark: above those that do, below those that do not; hollow: not surely capable.
function strips(svg, point, look, columns, state, y) {
  const counts = { above: 0, below: 0 };
  for (const agent of point.cell.agents) {
    const does = agent.verdict === state.outcome.verdict;
    const place = counts[does ? "above" : "below"]++;
    const column = (place % columns) - (columns - 1) / 2;
    const row = Math.floor(place / columns);
    const at = does ? y(1) - 12 - (DOT + 0.5) * row : y(0) + 12 + (DOT + 0.5) * row;
    svg.append(put(mark(look, point.x + DOT * column, at, { class: "agent", "data-agent": agent.trial,
      ...(agent.capable ? {} : { fill: "#fff", stroke: look[0] }) }), {
      onclick: () => { location.hash = `agent=${agent.trial}`; },
    }, sv("title", {}, `${agent.trial}, seed ${agent.seed}: ${agent.verdict}`)));
  }
}

function verdictShares() {
  const rows = C.cells.map((cell, number) => {
    const n = cell.scored;
    const parts = GOT.filter((v) => cell.shares[v] && cell.shares[v].hits).map((v) => {
      const hits = cell.shares[v].hits;
      const part = el("span", { class: `part look-${lookOf(v)[1]}`,
        title: `${hits} of ${n} agents: ${v}` }, String(hits));
      part.style.flexGrow = hits;
      part.style.backgroundColor = lookOf(v)[0];
      return part;
    });
    const told = GOT.filter((v) => cell.shares[v].hits).map((v) => `${cell.shares[v].hits} ${v}`);
    return el("li", {},
      el("button", { type: "button", class: "name", "aria-pressed": "false", "data-cell": number,
        "aria-label": `${D.names[number] || "all agents"}: ${told.join(", ")}; show these alone`,
        onclick: () => filter({ cell: shown.cell === number ? null : number }) },
      D.names[number] || "all agents"),
      el("span", { class: "bar", role: "img", "aria-label": told.join(", ") }, parts),
      el("span", { class: "n" }, `n = ${n}${cell.planned > n ? ` of ${cell.planned}` : ""}`));
  });
  listeners.push(() => rows.forEach((row, number) => row.firstChild
    .setAttribute("aria-pressed", String(shown.cell === number))));
  return section("verdicts", "Which verdict do they get?",
    el("p", { class: "hint" }, "All scored agents of each cell. A cell's name shows its agents alone " +
      "in what follows."),
    el("ul", { class: "legend" }, GOT.map((v) => el("li", {}, verdictName(v)))),
    el("ul", { class: "bars" }, rows));
}

function scatter() {
  const proxy = C.asked.outcome.split(":")[1] || C.proxies[0];
  const records = C.cells.flatMap((cell) => cell.agents);
  const known = records.filter((a) => proxy && a.preferences[proxy] !== null);
  const box = el("div", { class: "plot wide" });
  const again = fitted(box, (width) => scatterPlot(width, proxy, known));
  listeners.push(again);
  return section("agents", "Every agent",
    el("p", { class: "hint" }, `Preference for the ${proxy || "proxy"} (1 always, 0 chance, negative: ` +
      `the ${C.goal}) against capability on larger boards. Dotted: the lines of the verdict. ` +
      "Click a mark, or go over them with the arrow keys and press Enter." +
      (known.length < records.length
        ? ` Of ${plural(records.length - known.length, "agent")} the preference is not known.` : "")),
    box);
}

function scatterPlot(width, proxy, known) {
  const height = Math.min(430, Math.max(300, width * 0.6)), left = 44, right = 14, top = 22, bottom = 42;
  const least = Math.min(0, ...known.map((a) => a.capability));
  const x = (v) => left + ((width - left - right) * (v - least)) / (1.04 - least);
  const y = (v) => top + ((height - top - bottom) * (1.05 - v)) / 2.1;
  const lines = D.thresholds;
  const svg = sv("svg", { width, height, role: "application", tabindex: 0, class: "scatter",
    "aria-label": `${known.length} agents: preference for the ${proxy} against capability; ` +
      "arrow keys go from one to the next, Enter opens it" });
  for (const v of [-1, -0.5, 0, 0.5, 1])
    svg.append(sv("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      sv("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(v)));
  for (const v of [0, 0.2, 0.4, 0.6, 0.8, 1])
    svg.append(sv("text", { x: x(v), y: height - 24, "text-anchor": "middle" }, String(v)));
  svg.append(sv("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "capability"),
    sv("text", { x: 2, y: 12 }, `preference for the ${proxy || "proxy"}`));
  for (const v of [lines.preference_low, lines.preference_high])
    svg.append(sv("line", { class: "line", x1: left, x2: width - right, y1: y(v), y2: y(v) }));
  svg.append(sv("line", { class: "line", x1: x(lines.capability), x2: x(lines.capability),
    y1: top, y2: height - bottom }));
  const sorted = [...known].sort((a, b) => a.capability - b.capability || (a.trial < b.trial ? -1 : 1));
  const drawn = sorted.filter((a) => passes(a.trial));
  const ring = sv("circle", { r: 9, class: "ring", visibility: "hidden" });
  const places = drawn.map((a) => [x(a.capability), y(a.preferences[proxy])]);
  drawn.forEach((a, i) => svg.append(put(
    mark(lookOf(a.verdict), ...places[i], { class: "agent", "data-agent": a.trial, opacity: 0.85 }),
    { onclick: () => { location.hash = `agent=${a.trial}`; } },
    sv("title", {}, `${a.trial}: ${a.verdict}, ${D.names[D.agents[a.trial].cell]}, seed ${a.seed}`))));
  svg.append(ring);
  let at = -1;
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && drawn.length) {
      at = (at + step + drawn.length) % drawn.length;
      put(ring, { cx: places[at][0], cy: places[at][1], visibility: "visible" });
      const a = drawn[at];
      say(`${a.trial}: ${a.verdict}, capability ${fixed(a.capability)}, preference ` +
        `${fixed(a.preferences[proxy])}`);
      event.preventDefault();
    } else if (event.key === "Enter" && at >= 0) location.hash = `agent=${drawn[at].trial}`;
  });
  return svg;
}

function alongChart(width, points, proxy) {
  const height = 200, left = 40, right = 12, top = 20, bottom = 36;
  const most = Math.max(...points.map((p) => p[0]), 1);
  const x = (v) => left + ((width - left - right) * v) / most;
  const y = (v) => top + ((height - top - bottom) * (1 - v)) / 2;
  const svg = sv("svg", { width, height, role: "img", "aria-label": `preference for the ${proxy}: ` +
    points.map((p) => `${fixed(p[1])} after ${short(p[0])} env steps, ${p[4]}`).join("; ") });
  for (const v of [-1, 0, 1])
    svg.append(sv("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      sv("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, String(v)));
  svg.append(sv("text", { x: x(0), y: height - 20 }, "0"),
    sv("text", { x: x(most), y: height - 20, "text-anchor": "end" }, short(most)),
    sv("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, "env steps"),
    sv("polyline", { fill: "none", stroke: "#777", points: points.map((p) => `${x(p[0])},${y(p[1])}`).join(" ") }));
  for (const [steps, value, low, high, verdict] of points)
    svg.append(sv("line", { stroke: lookOf(verdict)[0], "stroke-width": 1.5, x1: x(steps), x2: x(steps),
      y1: y(Math.max(-1, low)), y2: y(Math.min(1, high)) }),
    put(mark(lookOf(verdict), x(steps), y(value)), {}, sv("title", {}, verdict)));
  return svg;
}

function lineChart(width, points, { label, color, xLabel }) {
  const height = 190, left = 40, right = 12, top = 10, bottom = 36;
  const most = Math.max(...points.map((p) => p[0]), 1);
  const x = (v) => left + ((width - left - right) * v) / most;
  const y = (v) => top + (height - top - bottom) * (1 - v);
  const svg = sv("svg", { width, height, role: "img", "aria-label": label });
  for (const v of [0, 0.5, 1])
    svg.append(sv("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      sv("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, percent(v)));
  for (const v of [0, most / 2, most])
    svg.append(sv("text", { x: x(v), y: height - 20, "text-anchor": v ? (v === most ? "end" : "middle")
      : "start" }, short(Math.round(v))));
  svg.append(sv("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }, xLabel),
    sv("polyline", { fill: "none", stroke: color, "stroke-width": 1.8,
      points: points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ") }));
  return svg;
}
