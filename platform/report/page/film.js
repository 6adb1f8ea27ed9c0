// Films of recorded episodes: boards as bits, paths as a digit a step, drawn on a canvas.
const GOAL_COLOR = "#0072b2", PROXY_COLOR = "#d55e00";
const STEP_MS = 180;

// Returns the poses [x, y, heading] of an episode.
function poses(film) {
  const [x, y, heading] = D.boards[film.board].start;
  const found = [[x, y, heading]];
  for (const digit of film.path) {
    const code = parseInt(digit, 36);
    const [a, b, c] = found[found.length - 1];
    found.push([a + Math.floor(code / 12) - 1, b + (Math.floor(code / 4) % 3) - 1, (c + (code % 4)) % 4]);
  }
  return found;
}
const isWall = (board, x, y) => {
  const bit = y * board.w + x;
  return ((parseInt(board.walls[bit >> 2], 16) >> (3 - (bit & 3))) & 1) === 1;
};

function drawFrame(canvas, film, path, step, names) {
  const board = D.boards[film.board];
  const ratio = window.devicePixelRatio || 1;
  const side = Math.max(8, Math.floor(Math.min(canvas.parentNode.clientWidth || 260, 300) / board.w));
  canvas.width = side * board.w * ratio;
  canvas.height = side * board.h * ratio;
  canvas.style.width = `${side * board.w}px`;
  canvas.style.height = `${side * board.h}px`;
  const g = canvas.getContext("2d");
  g.scale(ratio, ratio);
  g.fillStyle = "#fff";
  g.fillRect(0, 0, side * board.w, side * board.h);
  for (let y = 0; y < board.h; y++)
    for (let x = 0; x < board.w; x++) {
      g.fillStyle = isWall(board, x, y) ? "#5b6470" : "#f6f4ee";
      g.fillRect(x * side, y * side, side - 0.5, side - 0.5);
    }
  const entered = new Set(path.slice(1, step + 1).map(([x, y]) => `${x},${y}`));
  const outline = (cells, color, dashes, letter) => {
    g.setLineDash(dashes);
    g.lineWidth = Math.max(2, side / 9);
    g.strokeStyle = color;
    g.font = `bold ${Math.round(side * 0.62)}px sans-serif`;
    g.textAlign = "center";
    g.textBaseline = "middle";
    for (const [x, y] of cells) {
      const touched = entered.has(`${x},${y}`);
      g.fillStyle = touched ? color : "#fff";
      g.fillRect(x * side + 1, y * side + 1, side - 2, side - 2);
      g.strokeRect(x * side + 1.5, y * side + 1.5, side - 3, side - 3);
      g.fillStyle = touched ? "#fff" : color;
      g.fillText(letter, (x + 0.5) * side, (y + 0.54) * side);
    }
    g.setLineDash([]);
  };
  outline(board.t, GOAL_COLOR, [], "T");
  outline(board.p, PROXY_COLOR, [side / 5, side / 8], "P");
  g.strokeStyle = "#222";
  g.globalAlpha = 0.55;
  g.lineWidth = Math.max(1.5, side / 10);
  g.beginPath();
  path.slice(0, step + 1).forEach(([x, y], i) =>
    g[i ? "lineTo" : "moveTo"]((x + 0.5) * side, (y + 0.5) * side));
  g.stroke();
  g.globalAlpha = 1;
  const [x, y, heading] = path[step];
  g.save();
  g.translate((x + 0.5) * side, (y + 0.5) * side);
  g.rotate((heading * Math.PI) / 2);
  g.beginPath();
  for (const [a, b] of [[0.4, 0], [-0.3, 0.3], [-0.15, 0], [-0.3, -0.3]]) g.lineTo(a * side, b * side);
  g.closePath();
  g.fillStyle = "#111";
  g.strokeStyle = "#fff";
  g.lineWidth = 1.5;
  g.stroke();
  g.fill();
  g.restore();
  canvas.setAttribute("aria-label", told(film, step, names));
}

function told(film, step, [goal, proxy]) {
  const parts = [[film.t, goal], [film.p, proxy]].filter(([at]) => at >= 0 && at <= step)
    .sort((a, b) => a[0] - b[0]).map(([at, name]) => `the ${name} after ${at}`);
  return parts.length ? `touched ${parts.join(", ")}` : "touched nothing yet";
}

// One base layout: a level and its twin, side by side, on one clock.
function filmPlayer(agent) {
  if (!agent.films.length)
    return el("p", { class: "hint" }, "No film here: either the cell shows those of other agents, or " +
      "the panels that it played are not kept in this storage. The command above plays it.");
  const names = [agent.goal, agent.proxy];
  let pair = 0, step = 0, timer = null, films, paths, last;
  const canvases = [0, 1].map(() => el("canvas", { role: "img", class: "film" }));
  const captions = [0, 1].map(() => el("figcaption"));
  const figures = [0, 1].map((i) => el("figure", {}, canvases[i], captions[i]));
  const slider = el("input", { type: "range", min: 0, value: 0, step: 1, "aria-label": "step",
    oninput: (e) => { stop(); show(Number(e.target.value)); } });
  const counter = el("output", { class: "step" });
  const toggle = el("button", { type: "button", class: "play", onclick: () => (timer ? stop() : play()) });
  const choose = el("select", { "aria-label": "level", onchange: (e) => load(Number(e.target.value)) },
    agent.films.map((f, i) => el("option", { value: i }, `layout ${f.base}`)));
  function load(i) {
    stop();
    pair = i;
    films = agent.films[pair].films;
    paths = films.map(poses);
    last = Math.max(...paths.map((p) => p.length)) - 1;
    slider.max = last;
    figures.forEach((figure, j) => { figure.hidden = j >= films.length; });
    show(0);
  }
  function show(now) {
    step = now;
    slider.value = now;
    counter.textContent = `step ${now} of ${last}`;
    films.forEach((film, j) => {
      const own = Math.min(now, paths[j].length - 1);
      drawFrame(canvases[j], film, paths[j], own, names);
      captions[j].textContent = `${j ? "swapped twin" : "level"}: ${told(film, own, names)}`;
    });
  }
  function stop() {
    clearTimeout(timer);
    timer = null;
    toggle.textContent = "Play";
  }
  function play() {
    if (step >= last) show(0);
    toggle.textContent = "Pause";
    const tick = () => {
      if (!toggle.isConnected) return stop();
      show(step + 1);
      if (step >= last) return stop();
      timer = setTimeout(tick, STEP_MS);
    };
    timer = setTimeout(tick, STEP_MS);
  }
  const player = el("div", { class: "player" },
    el("div", { class: "boards" }, figures),
    el("div", { class: "controls" }, toggle, slider, counter, choose),
    el("p", { class: "hint" }, el("b", { class: "t" }, "T"), ` the ${names[0]}, rewarded (solid). `,
      el("b", { class: "p" }, "P"), ` the ${names[1]} (dashed). Filled once touched. Line: its way so far.`));
  requestAnimationFrame(() => load(0));
  return player;
}
