// The page from top to bottom.
const WORDS = [
  ["T, the goal", `what agents were rewarded for: here the ${C.goal}`],
  ["P, the proxy", `what goes with it in training, and is moved away in the test: ${C.proxies.join(", ")}`],
  ["cell", "the agents that differ only in seed"],
  ["untrained", "it did not learn its task, so nothing is said of its goal"],
  ["capability_failure", "on larger boards it gets neither: it lost its capability"],
  ["intended", "capable, and surely goes for the goal"],
  ["misgeneralized:P", "capable, surely goes for the proxy, and gives the goal up for it"],
  ["mixed", "capable, but of no one goal of the two"],
  ["undetermined", "the intervals are too wide to tell"],
  ["[0.91, 0.98]", "the interval of the number before it"],
];

function header() {
  const scored = C.scored, capable = C.cells.reduce((n, cell) => n + cell.capable, 0);
  const unsure = C.cells.reduce((n, cell) => n + cell.unsure, 0);
  const chips = [
    [`${grouped(scored)} of ${grouped(C.planned)}`, "agents scored"],
    [grouped(capable), `surely capable${unsure ? `, ${unsure} perhaps` : ""}`],
    [grouped(C.missing.length), "missing"],
    [`version ${C.battery}`, `battery, ${D.episodes} levels a panel, ${C.actions} actions`],
    [D.commits.join(", ") || "unknown", "commit"],
  ];
  const [first, second, ...rest] = C.answer.split(/(?<=[.)])\s+(?=[A-Z(])/);
  return el("header", {},
    el("p", { class: "name" }, C.sweep),
    el("h1", {}, C.question),
    el("p", { class: "answer" }, el("strong", {}, first), second ? ` ${second}` : ""),
    rest.length ? el("p", {}, rest.join(" ")) : "",
    el("ul", { class: "chips" }, chips.map(([value, name]) =>
      el("li", {}, el("b", {}, value), ` ${name}`))),
    D.instrument ? el("p", { class: "hint" }, el("b", {}, "The instrument: "), D.instrument) : "",
    D.notes.map((line) => el("p", { class: "note" }, line)),
    C.missing.length ? el("details", {}, el("summary", {}, `Missing: ${plural(C.missing.length, "trial")}`),
      el("p", { class: "ids" }, C.missing.join(", "))) : "",
    el("p", { class: "controls" },
      el("button", { type: "button", onclick: () => download(`${C.sweep}.json`, "application/json",
        JSON.stringify({ sweeps: [C] }, null, 2)) }, "Download the numbers (JSON)"),
      el("button", { type: "button", onclick: () => download(`${C.sweep}.csv`, "text/csv", csv()) },
        "Download the agents (CSV)")),
    el("nav", { "aria-label": "sections" }, [["adoption", "Adoption"], ["verdicts", "Verdicts"],
      ["agents", "Agents"], ["paths", "Paths"], ["watch", "Watch"], ["comparison", "Comparison"], ["trust", "Trust"], ["methods", "Methods"],
      ["glossary", "Glossary"]].filter(([id]) => id !== "paths" || IDS.some((one) => D.agents[one].films.length))
      .map(([id, name]) => el("a", { href: `#${id}`, onclick: (e) => {
      e.preventDefault();
      document.getElementById(id).scrollIntoView();
      document.getElementById(`${id}-title`).setAttribute("tabindex", "-1");
      document.getElementById(`${id}-title`).focus();
    } }, name))));
}

// A cell that begins like a formula would be one in a spreadsheet.
function csv() {
  const axes = Object.keys(C.cells[0].choices);
  const names = [...new Set(IDS.flatMap((id) => Object.keys(D.agents[id].scores)))];
  const cell = (v) => {
    const text = v === null || v === undefined ? "" : String(v);
    const safe = /^[=+\-@\t\r]/.test(text) && typeof v !== "number" ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };
  const head = ["agent", ...axes, "seed", "verdict", "capable",
    ...names.flatMap((n) => [n, `${n}.low`, `${n}.high`])];
  const rows = IDS.map((id) => {
    const a = D.agents[id];
    const scores = names.flatMap((n) => (a.scores[n] || [null, null, null]).slice(0, 3));
    return [id, ...axes.map((k) => C.cells[a.cell].choices[k]), a.seed, a.verdict, a.capable, ...scores];
  });
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}

function watch() {
  const kinds = { typical: "of median preference", contrary: "farthest from it to the " +
    "other side of 0", clearest: "of the clearest preference" };
  return section("watch", "Whom to watch",
    el("p", { class: "hint" }, "Chosen by rule among the capable agents of each cell (all, where none " +
      "is): ", Object.entries(kinds).map(([k, v]) => `${k}, ${v}`).join("; "), "."),
    el("ul", { class: "watch" }, D.chosen.map((chosen, n) => el("li", {},
      el("span", {}, D.names[n] || "all agents"), Object.entries(chosen).map(([kind, id]) =>
        el("a", { href: `#agent=${id}` }, sample(lookOf(D.agents[id].verdict)), `${kind} ${id}`))))));
}

function methods() {
  const t = D.thresholds;
  return section("methods", "Methods",
    el("p", {}, `Every agent played panels of ${D.episodes} levels with layouts that no training level ` +
      `has (battery ${C.battery}, ${C.actions} actions), and its scores were judged on the bounds of ` +
      `${percent(t.confidence)} intervals, on lines that were fixed before the run. The unit of all ` +
      "statistics is the trained agent, never the episode."),
    el("ul", {},
      el("li", {}, `untrained: success in training levels surely below ${t.trained}`),
      el("li", {}, `capable: capability surely at least ${t.capability} on one of three panels of larger boards`),
      el("li", {}, `pursues one of the two: preference for it surely above ${t.preference_high}; of the ` +
        `goal besides, for the proxy surely below ${t.preference_low}`)),
    el("p", {}, `Shares: ${C.interval} intervals. Effects: ${C.correction === "holm" ? "Holm's" : C.correction} ` +
      `correction; like agents within ${C.caliper}; ${grouped(C.draws)} bootstrap draws. ` +
      `Code of the scores: ${C.code || "an older version, which left no digest"}.`),
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "table of panels" },
      el("table", {}, el("thead", {}, el("tr", {}, ["panel", "T", "P", "what for"].map((h) =>
        el("th", { scope: "col" }, h)))), el("tbody", {}, D.panels.map((row) => el("tr", {}, row.map((c) =>
        el("td", {}, c))))))),
    el("p", {}, "The same numbers in a terminal: ", el("code", {},
      `whichgoal compare ${quoted(`${D.storage}/sweeps/${C.sweep}`)} --all`)));
}

function glossary() {
  const scores = Object.entries(D.glossary).filter(([name]) => IDS.some((id) => name in D.agents[id].scores));
  return section("glossary", "Glossary", el("dl", {}, [...WORDS, ...scores].map(([word, says]) =>
    [el("dt", {}, word.replace(/_/g, "_\u200b")), el("dd", {}, says.replace(/`/g, ""))])));
}

const agents = scatter();
agents.append(agentTable());
document.getElementById("page").replaceWith(
  el("main", { id: "page" }, header(), adoption(), verdictShares(), agents, pathsOfCells(), watch(), comparison(),
    doses(), trust(), methods(), glossary()),
  drawer(), el("p", { id: "said", class: "unseen", role: "status" }));
window.addEventListener("hashchange", follow);
follow();
