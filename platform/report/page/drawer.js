// What there is to know of one agent; its address is #agent=ID.
let opener = null;

function drawer() {
  return el("aside", { id: "drawer", role: "dialog", "aria-modal": "false", "aria-label": "an agent",
    tabindex: -1, hidden: true, onkeydown: (e) => { if (e.key === "Escape") shut(); } });
}
function shut() {
  try {
    history.pushState(null, "", location.pathname + location.search);
  } catch {  // a page that is shown within another, as by MLflow, has no address of its own
    location.hash = "";
  }
  follow();
}

// Shows what the address names.
function follow() {
  const panel = document.getElementById("drawer");
  const id = new URLSearchParams(location.hash.slice(1)).get("agent");
  document.body.classList.toggle("open", id !== null);
  for (const node of document.querySelectorAll(".chosen")) node.classList.remove("chosen");
  if (id === null) {
    panel.hidden = true;
    panel.replaceChildren();
    if (opener && opener.isConnected) opener.focus();
    opener = null;
    return;
  }
  if (panel.hidden) opener = document.activeElement;
  panel.hidden = false;
  panel.replaceChildren(...contents(id).flat(3).filter((part) => part !== ""));
  panel.scrollTop = 0;
  panel.focus();
  for (const node of document.querySelectorAll(`[data-agent="${CSS.escape(id)}"]`))
    node.classList.add("chosen");
}

function contents(id) {
  const close = el("button", { type: "button", class: "close", "aria-label": "close", onclick: shut }, "×");
  if (!Object.hasOwn(D.agents, id)) return [close, el("h2", {}, "No such agent"), el("p", {}, id)];
  const agent = D.agents[id];
  const role = Object.entries(D.chosen[agent.cell]).filter(([, one]) => one === id).map(([k]) => k);
  const curve = el("div", { class: "plot" });
  if (agent.curve.length > 1)
    fitted(curve, (width) => lineChart(width, agent.curve, { color: "#0072b2", xLabel: "env steps",
      label: `success in training over env steps, at last ${percent(agent.curve.at(-1)[1])}` }));
  const along = el("div", { class: "plot" });
  if (agent.along.length) fitted(along, (width) => alongChart(width, agent.along, agent.proxy));
  const exchange = el("div", { class: "plot" });
  if (agent.exchange.length > 1) fitted(exchange, (width) => exchangeChart(width, agent));
  const groups = [...new Set(agent.checks.map(([group]) => group))];
  const sign = { true: "✓", false: "✗", null: "?" };
  const word = { true: "holds", false: "does not hold", null: "not measured" };
  return [
    close,
    el("h2", {}, `Agent ${id}`),
    el("p", {}, verdictName(agent.verdict), agent.way ? ` (${agent.way})` : ""),
    el("p", { class: "hint" }, [D.names[agent.cell], `seed ${agent.seed}`,
      agent.trunk ? `${grouped(agent.trunk)} trunk parameters` : "",
      `${grouped(agent.steps)} env steps`, ...role.map((r) => `${r} of its cell`)]
      .filter(Boolean).join(" · ")),
    el("p", { class: "command" }, el("code", {}, playCommand(id)), " ",
      el("button", { type: "button", class: "small", onclick: () => copy(playCommand(id)) }, "copy")),
    el("h3", {}, "What it does"), filmPlayer(agent),
    el("h3", {}, "Why this verdict"), el("p", {}, `${agent.why}.`),
    groups.map((group) => [el("h4", {}, group), el("ul", { class: "checks" },
      agent.checks.filter((c) => c[0] === group).map(([, asks, seen, holds]) =>
        el("li", { class: `is-${holds}` },
          el("span", { class: "sign", role: "img", "aria-label": word[holds] }, sign[holds]),
          el("span", {}, asks), el("span", { class: "seen" }, seen))))]),
    agent.explained.length ? [el("h3", {}, "What explains its paths"), el("table", {},
      el("thead", {}, el("tr", {}, ["goal", "directedness", "share of episodes"].map((h) =>
        el("th", { scope: "col" }, h)))),
      el("tbody", {}, agent.explained.map(([goal, directed, weight]) => el("tr", {},
        el("td", {}, goal), el("td", { class: "number" }, fixed(directed)),
        el("td", { class: "number" }, percent(weight))))))] : "",
    agent.curve.length > 1 ? [el("h3", {}, "Success in training"), curve] : "",
    agent.along.length ? [el("h3", {}, `Preference for the ${agent.proxy} along training`), along] : "",
    agent.exchange.length > 1 ? [el("h3", {}, `How far it walks for the ${agent.goal}`), exchange,
      el("p", { class: "hint" }, `Of the levels in which the ${agent.goal} is so many steps farther than the ` +
        `${agent.proxy} (left: nearer), how often it is touched first. Dashed: the exchange rate, the extra ` +
        "steps at which it is half.")] : "",
    el("h3", {}, "Scores"),
    el("table", { class: "scores" }, el("tbody", {}, Object.entries(agent.scores).map(([name, score]) =>
      el("tr", {}, el("th", { scope: "row", title: D.glossary[name] || null }, name.replace(/_/g, " ")),
        el("td", {}, dot(name, score)), el("td", { class: "number" }, interval(score)))))),
  ];
}

function dot(name, [value, low, high]) {
  const width = 120;
  const least = ["preference", "goal_preference"].includes(name) || low < 0 ? -1 : 0;
  if (high > 1 || low < -1) return "";
  const x = (v) => 5 + ((width - 10) * (v - least)) / (1 - least);
  return sv("svg", { viewBox: `0 0 ${width} 14`, "aria-hidden": "true" },
    sv("line", { class: "grid", x1: x(least), x2: x(1), y1: 7, y2: 7 }),
    sv("line", { class: "grid", x1: x(0), x2: x(0), y1: 2, y2: 12 }),
    sv("line", { stroke: "#333", "stroke-width": 2, x1: x(low), x2: x(high), y1: 7, y2: 7 }),
    mark(["#0072b2", "circle"], x(value), 7));
}
