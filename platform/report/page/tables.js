// The table of agents, which can be sorted and filtered, and the comparison's table.
function section(id, title, ...content) {
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, title), content);
}

function agentTable() {
  const axes = Object.keys(C.cells[0].choices)
    .filter((k) => new Set(C.cells.map((cell) => JSON.stringify(cell.choices[k]))).size > 1);
  const score = (name) => (id) => (D.agents[id].scores[name] || [null])[0];
  const columns = [
    { head: "agent", value: (id) => id, show: (id) =>
      el("a", { href: `#agent=${id}`, class: "id" }, id) },
    ...axes.map((k) => ({ head: axisName(k), value: (id) => C.cells[D.agents[id].cell].choices[k],
      show: (id) => D.texts[D.agents[id].cell][k] })),
    { head: "seed", value: (id) => D.agents[id].seed, number: true },
    ...[["success", "success_train"], ["capability", "capability"], ["preference", "preference"]].map(
      ([head, name]) => ({ head, value: score(name), number: true, show: (id) =>
        D.agents[id].scores[name] ? interval(D.agents[id].scores[name]) : "not known" })),
    { head: "verdict", value: (id) => ORDER.indexOf(D.agents[id].verdict),
      show: (id) => verdictName(D.agents[id].verdict) },
    { head: "watch", show: (id) => el("button", { type: "button", class: "small",
      "aria-label": `copy the command that plays ${id}`, title: playCommand(id),
      onclick: () => copy(playCommand(id)) }, "copy play") },
  ];
  const state = { column: null, down: false };
  const rows = new Map(IDS.map((id) => [id, el("tr", { "data-agent": id }, columns.map((c) =>
    el("td", { class: c.number ? "number" : null },
      c.show ? c.show(id) : c.value(id) === null ? "-" : String(c.value(id)))))]));
  const body = el("tbody");
  const heads = columns.map((c, i) => el("th", { scope: "col" }, c.value
    ? el("button", { type: "button", onclick: () => sort(i) }, c.head) : c.head));
  const count = el("span", { class: "count", "aria-live": "polite" });
  const search = el("input", { type: "search", placeholder: "filter: id, axis, verdict",
    "aria-label": "filter the agents", oninput: (e) => filter({ text: e.target.value }) });
  const only = el("select", { "aria-label": "verdict",
    onchange: (e) => filter({ verdict: e.target.value || null }) },
  el("option", { value: "" }, "every verdict"), GOT.map((v) => el("option", { value: v }, v)));
  const clear = el("button", { type: "button", onclick: () => {
    search.value = "";
    only.value = "";
    filter({ cell: null, verdict: null, text: "" });
  } }, "show all");

  function sort(i) {
    state.down = state.column === i ? !state.down : false;
    state.column = i;
    heads.forEach((head, j) => j === i
      ? head.setAttribute("aria-sort", state.down ? "descending" : "ascending")
      : head.removeAttribute("aria-sort"));
    fill();
  }
  function fill() {
    const found = IDS.filter(passes);
    if (state.column !== null) {
      const { value } = columns[state.column];
      const rank = (v) => (v === null || v === undefined ? -Infinity : v);
      const order = (a, b) => {
        const [p, q] = [rank(value(a)), rank(value(b))];
        if (typeof p === "number" && typeof q === "number") return p === q ? 0 : p < q ? -1 : 1;
        return String(p).localeCompare(String(q), "en", { numeric: true });
      };
      found.sort((a, b) => (state.down ? order(b, a) : order(a, b)));
    }
    body.replaceChildren(...found.map((id) => rows.get(id)));
    const of = shown.cell === null ? "" : `, ${D.names[shown.cell]}`;
    count.textContent = `${grouped(found.length)} of ${plural(IDS.length, "agent")}${of}`;
  }
  listeners.push(fill);
  fill();
  return el("div", {},
    el("div", { class: "controls" }, search, only, clear, count),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of agents" },
      el("table", { class: "agents" }, el("thead", {}, el("tr", {}, heads)), body)));
}

const effectOf = (key, n) => {
  const found = key === "primary" ? C.primary : C[key][n];
  return found && found.effect ? found.effect : found;
};
function oddsText(odds) {
  if (odds.value === null && odds.low === null && odds.high === null) return odds.note;
  return `${odds.value === null ? "not reached" : two(odds.value)} [${two(odds.low)}, ${two(odds.high)}]`;
}

function comparison() {
  const rows = D.effects.map(([part, name, key, n]) => ({ part, name, effect: effectOf(key, n) }));
  if (!rows.length) return section("comparison", "The comparison", el("p", {}, C.answer));
  const ends = rows.flatMap(({ effect: { odds } }) => [odds.value, odds.low, odds.high])
    .filter((v) => v > 0);
  const most = Math.min(Math.log(10), Math.max(...ends.map((v) => Math.abs(Math.log(v))), Math.log(2)));
  let before = null;
  const lines = rows.map(({ part, name, effect }) => {
    const first = part !== before;
    before = part;
    return [
      first ? el("tr", { class: "part" }, el("th", { colspan: 7, scope: "rowgroup" },
        part + (C.is_exploratory && part !== "The answer" && part !== "Counted otherwise"
          ? " (exploratory, since the answer is not significant)" : ""))) : "",
      el("tr", {},
        el("td", {}, part === "Of other axes" ? axisName(name)
          : name || `${axisName(effect.axis)} on ${effect.outcome}`),
        el("td", { class: "number" }, effect.n),
        el("td", { class: "number" }, effect.informative === effect.strata ? effect.strata
          : `${effect.informative} of ${effect.strata}`),
        el("td", {}, oddsText(effect.odds), effect.per ? el("small", {}, ` per ${effect.per}`) : ""),
        el("td", { class: "forest" }, forest(effect.odds, most)),
        el("td", { class: "number" }, pText(effect.p)),
        el("td", { class: "number" }, pText(effect.p_adjusted))),
    ];
  });
  const heads = ["effect", "agents", "strata", "odds", `0.. 1 ..`, "p", "adjusted"];
  return section("comparison", "The comparison",
    el("p", { class: "hint" }, "By which factor the odds of the outcome change; the line is no " +
      "effect. p: by dealing the agents (or their searches) out anew; adjusted: Holm's method over " +
      "all but the answer."),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of effects" },
      el("table", { class: "effects" }, el("thead", {}, el("tr", {},
        heads.map((head, i) => el("th", { scope: "col" }, i === 4 ? "less | more" : head)))),
      el("tbody", {}, lines))));
}

function forest(odds, most) {
  const width = 150, height = 18;
  const x = (v) => width / 2 + ((width / 2 - 6) *
    Math.max(-most, Math.min(most, v === null ? NaN : Math.log(v)))) / most;
  const svg = sv("svg", { width, height, role: "img", "aria-label": oddsText(odds) },
    sv("line", { class: "grid", x1: width / 2, x2: width / 2, y1: 0, y2: height }));
  if (odds.value === null && odds.low === null && odds.high === null) return svg;
  svg.append(sv("line", { class: "interval", stroke: "#333", "stroke-width": 1.6, y1: 9, y2: 9,
    x1: odds.low === null ? 0 : x(odds.low), x2: odds.high === null ? width : x(odds.high) }));
  if (odds.value !== null) svg.append(mark(["#d55e00", "square"], x(odds.value), 9));
  return svg;
}

// How much disagreement turns half the agents, in the cells that differ in agreement alone.
function doses() {
  if (!C.doses.length) return "";
  const told = ({ doses, hits, n }) => doses.map((dose, i) => [dose, hits[i], n[i]])
    .sort((a, b) => a[0] - b[0]).map(([dose, k, all]) => `${k}/${all} at ${Number(dose.toPrecision(3))}`).join(", ");
  const a50 = ({ a50: found }) => found.value === null && found.low === null && found.high === null
    ? found.note : oddsText(found);
  return section("doses", "How much disagreement turns them?",
    el("p", { class: "hint" }, `a50: how often proxy and goal must come apart in training for half the ` +
      `capable agents to pursue the ${C.goal}, with its interval.`),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of dose-responses" },
      el("table", { class: "doses" }, el("thead", {}, el("tr", {},
        ["cells", `pursue the ${C.goal}, at a disagreement of`, "a50"].map((h) =>
          el("th", { scope: "col" }, h)))),
      el("tbody", {}, C.doses.map((dose, i) => el("tr", {}, el("td", {}, D.doses[i]),
        el("td", {}, told(dose.response)), el("td", {}, a50(dose.response))))))));
}

// What the battery said of agents whose goal is known.
function trust() {
  const families = Object.entries(D.confusion);
  if (!families.length) return "";
  const titles = { privileged: "Scripted agents that read the level",
    observer: "Scripted agents that see what an agent sees, and remember",
    trained: "Trained agents, rewarded for it" };
  const rank = (v) => ["intended", "misgeneralized:P", "mixed", "undetermined", "capability_failure",
    "untrained"].indexOf(v);
  const verdicts = [...new Set(families.flatMap(([, rows]) => Object.values(rows).flatMap(Object.keys)))]
    .sort((a, b) => rank(a) - rank(b));
  return section("trust", "Can the battery be trusted?",
    el("p", { class: "hint" }, "It was tried on agents of known goal, in all worlds. Rows: what a " +
      "careful person would call them, written down before; columns: what it said. ✗: wrong."),
    D.instrument ? el("p", {}, `Of this world: ${D.instrument}.`) : "",
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "confusion matrices" },
      el("table", { class: "confusion" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "should be"),
        verdicts.map((v) => el("th", { scope: "col" }, v)))),
      el("tbody", {}, families.map(([family, rows]) => [
        el("tr", { class: "part" }, el("th", { colspan: verdicts.length + 1, scope: "rowgroup" },
          titles[family] || family)),
        Object.entries(rows).map(([should, counts]) => el("tr", {}, el("td", {}, should),
          verdicts.map((v) => {
            const right = should.split(" or ").includes(v);
            return el("td", { class: `number ${counts[v] ? (right ? "right" : "wrong") : ""}` },
              counts[v] ? `${counts[v]}${right ? "" : " ✗"}` : "");
          }))),
      ])))));
}
