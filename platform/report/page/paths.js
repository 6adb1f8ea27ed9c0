// What a verdict looks like: the paths of a cell's agents on one board, and an agent's exchange rate.

// A board with its columns in reverse, so that T lies to the left of P wherever they differ.
const middleOf = (cells) => cells.reduce((sum, [x]) => sum + x, 0) / (cells.length || 1);
const mirrored = (board) => middleOf(board.t) > middleOf(board.p);

// The films of a cell's agents, layout by layout: [[base, [[agent, film], ...] of each level]].
function layoutsOf(cell) {
  const found = new Map();
  for (const { trial } of C.cells[cell].agents)
    for (const { base, films } of D.agents[trial].films) {
      if (!found.has(base)) found.set(base, []);
      films.forEach((film, i) => {
        const levels = found.get(base);
        (levels[i] = levels[i] || []).push([trial, film]);
      });
    }
  return [...found];
}
const firstOf = ({ t, p }) => (t >= 0 && (p < 0 || t < p) ? "t" : p >= 0 ? "p" : "");
const FIRST = { t: [GOAL_COLOR, []], p: [PROXY_COLOR, [5, 3]], "": ["#777", [1, 3]] };

// Draws one level with the ways of all agents that were filmed on it, until their first contact.
function pathsPicture(width, films) {
  const board = D.boards[films[0][1].board], flip = mirrored(board);
  const side = Math.max(8, Math.floor(Math.min(width, 340) / board.w));
  const column = (x) => (flip ? board.w - 1 - x : x);
  const told = ["t", "p", ""].map((one) => films.filter(([, film]) => firstOf(film) === one).length);
  const svg = sv("svg", { width: side * board.w, height: side * board.h, class: "paths", role: "img",
    "aria-label": `${told[0]} of ${films.length} went to T first, ${told[1]} to P, ${told[2]} to neither` });
  for (let y = 0; y < board.h; y++)
    for (let x = 0; x < board.w; x++)
      svg.append(sv("rect", { x: column(x) * side, y: y * side, width: side - 0.5, height: side - 0.5,
        fill: isWall(board, x, y) ? "#5b6470" : "#f6f4ee" }));
  for (const [cells, color, letter] of [[board.t, GOAL_COLOR, "T"], [board.p, PROXY_COLOR, "P"]])
    for (const [x, y] of cells)
      svg.append(sv("rect", { x: column(x) * side + 1.5, y: y * side + 1.5, width: side - 3.5, height: side - 3.5,
        fill: "#fff", stroke: color, "stroke-width": 2, "stroke-dasharray": letter === "P" ? "5 3" : null }),
      sv("text", { x: (column(x) + 0.5) * side, y: (y + 0.72) * side, "text-anchor": "middle",
        class: `letter ${letter.toLowerCase()}` }, letter));
  films.forEach(([trial, film], i) => {
    const end = Math.min(...[film.t, film.p].filter((step) => step >= 0), film.path.length);
    // Each way a little beside the others, so that those who go together can be counted.
    const aside = ((i % 9) - 4) * Math.min(1.6, side / 14);
    const points = poses(film).slice(0, end + 1).map(([x, y]) =>
      `${(column(x) + 0.5) * side + aside},${(y + 0.5) * side + aside}`).join(" ");
    const [color, dashes] = FIRST[firstOf(film)];
    svg.append(put(sv("polyline", { class: "way", "data-agent": trial, fill: "none", stroke: color, points,
      "stroke-width": 1.8, "stroke-dasharray": dashes.join(" ") || null, opacity: 0.75 }),
    { onclick: () => { location.hash = `agent=${trial}`; } },
    sv("title", {}, `${trial}: ${D.agents[trial].verdict}`)));
  });
  const [x, y] = board.start;
  svg.append(sv("circle", { cx: (column(x) + 0.5) * side, cy: (y + 0.5) * side, r: side / 5, fill: "#111" }));
  return svg;
}

function pathsOfCells() {
  const cells = C.cells.map((_, n) => n).filter((n) => layoutsOf(n).length);
  if (!cells.length) return "";
  const state = { cell: cells[0], layout: 0 };
  const boxes = [0, 1].map(() => el("div", { class: "plot" }));
  const captions = ["level", "swapped twin"].map((name) => el("figcaption", {}, name));
  const figures = boxes.map((box, i) => el("figure", {}, box, captions[i]));
  const layout = el("select", { "aria-label": "layout", onchange: (e) => {
    state.layout = Number(e.target.value);
    redraw.forEach((f) => f());
  } });
  const levels = () => (layoutsOf(state.cell)[state.layout] || layoutsOf(state.cell)[0])[1];
  const draw = (i) => (width) => {
    const films = levels()[i];
    figures[i].hidden = !films;
    const n = (one) => films.filter(([, film]) => firstOf(film) === one).length;
    if (films) captions[i].textContent = `${i ? "swapped twin" : "level"}: ${n("t")} went to T first, ` +
      `${n("p")} to P${n("") ? `, ${n("")} to neither` : ""}`;
    return films ? pathsPicture(width, films) : el("span");
  };
  const redraw = boxes.map((box, i) => fitted(box, draw(i)));
  function choose(cell) {
    state.cell = cell;
    state.layout = 0;
    layout.replaceChildren(...layoutsOf(cell).map(([base], i) => el("option", { value: i }, `layout ${base}`)));
    redraw.forEach((f) => f());
  }
  const section_ = section("paths", "Where they go",
    el("p", { class: "hint" }, "The ways of a cell's agents on one conflict level and its swapped twin, until " +
      "they touch one of the two; boards are mirrored where that brings T to the left. Solid blue: to ",
    el("b", { class: "t" }, "T"), `, the ${C.goal}. Dashed orange: to `, el("b", { class: "p" }, "P"),
    ", the proxy. Dotted: to neither. A click on a way opens its agent. Only agents with films are shown."),
    el("div", { class: "controls" }, el("label", {}, "cell ", el("select", {
      onchange: (e) => choose(Number(e.target.value)) },
    cells.map((n) => el("option", { value: n }, D.names[n] || "all agents")))), layout),
    el("div", { class: "boards" }, figures));
  choose(state.cell);
  return section_;
}

// How often the goal is touched first, by how many steps it is farther than the proxy.
function exchangeChart(width, agent) {
  const height = 200, left = 40, right = 12, top = 12, bottom = 36;
  const rows = agent.exchange, rate = agent.scores.exchange;
  const most = Math.max(...rows.map(([extra]) => Math.abs(extra)), 1);
  const x = (v) => left + ((width - left - right) * (Math.max(-most, Math.min(most, v)) + most)) / (2 * most);
  const y = (v) => top + (height - top - bottom) * (1 - v);
  const svg = sv("svg", { width, height, role: "img", class: "exchange", "aria-label":
    rows.map(([extra, hits, n]) => `${hits} of ${n} at ${extra} steps`).join("; ") });
  for (const v of [0, 0.5, 1])
    svg.append(sv("line", { class: "grid", x1: left, x2: width - right, y1: y(v), y2: y(v) }),
      sv("text", { x: left - 6, y: y(v) + 4, "text-anchor": "end" }, percent(v)));
  for (const v of [-most, 0, most])
    svg.append(sv("text", { x: x(v), y: height - 20, "text-anchor": v < 0 ? "start" : v ? "end" : "middle" },
      v > 0 ? `+${v}` : String(v)));
  svg.append(sv("text", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" },
    `extra steps to the ${agent.goal}`));
  if (rate) svg.append(
    sv("rect", { x: x(rate[1]), width: Math.max(0, x(rate[2]) - x(rate[1])), y: top, height: height - top - bottom,
      fill: "#56b4e9", opacity: 0.18 }),
    sv("line", { x1: x(rate[0]), x2: x(rate[0]), y1: top, y2: height - bottom, stroke: GOAL_COLOR,
      "stroke-width": 1.5, "stroke-dasharray": "5 4" }));
  svg.append(sv("polyline", { fill: "none", stroke: "#999", points:
    rows.map(([extra, hits, n]) => `${x(extra)},${y(hits / n)}`).join(" ") }));
  for (const [extra, hits, n] of rows)
    svg.append(put(mark(["#0072b2", "circle"], x(extra), y(hits / n)), {},
      sv("title", {}, `${hits} of ${n} at ${extra} extra steps`)));
  return svg;
}
