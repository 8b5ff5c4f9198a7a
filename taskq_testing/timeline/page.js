"use strict";
// Brings it together: the moment, the message that is followed, what is in sight; mouse, keys and controls.

const axis = new Axis(run.events.map((event) => event.t), run.end);
const layout = new Layout(run, axis);
const painter = new Painter(part("plot"), layout);
const panel = new Panel(run, (index, message) => go(index, message));
const haystack = run.events.map((event) => `${event.message} ${run.messages[event.message]?.task ?? ""} ${event.who} ${event.text}`.toLowerCase());

const state = { index: run.events.length - 1, u: 1, followed: "", hovered: "", query: "", found: [], playing: false };

// -- what is shown

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    layout.top = part("scroll").scrollTop;
    if (!painter.draw(state, lit())) return;
    drawTicks();
    drawStrip();
  });
}

// The messages that are highlighted; null where nothing is.
function lit() {
  if (state.hovered) return new Set([state.hovered]);
  if (state.followed) return new Set([state.followed]);
  return state.query ? new Set(state.found.map((i) => run.events[i].message)) : null;
}

function show() {
  const event = run.events[state.index];
  panel.show(state.index, state.followed);
  if (state.query) panel.hits(state.found, state.index);
  part("found").textContent = state.query ? `${state.found.indexOf(state.index) + 1 || "-"} of ${state.found.length}` : "";
  fill("clock", element("b", inSeconds(axis.t(state.u))), `event ${state.index + 1} of ${run.events.length}`);
  part("time").value = Math.round(state.u * 100000);
  part("time").setAttribute("aria-valuetext", event ? `${inSeconds(event.t)}, ${event.who}: ${event.text}` : "the beginning");
  redraw();
}

function drawTicks() {
  const labels = axis.ticks().map(([x, seconds]) => {
    const label = element("span", `${seconds.toLocaleString("en", { maximumFractionDigits: 9 })} s`);
    label.style.left = `${x}px`;
    return label;
  });
  fill("ticks", ...labels);
}

// The whole run in small: how much happened, where the faults and violations are, and what is in sight.
function drawStrip() {
  const canvas = part("strip");
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = window.devicePixelRatio || 1;
  Object.assign(canvas, { width: width * ratio, height: height * ratio });
  const ctx = canvas.getContext("2d");
  ctx.scale(ratio, ratio);
  const [left, inner] = [6, width - 12];
  const bins = new Array(Math.max(1, inner >> 2)).fill(0);
  layout.u.forEach((u) => (bins[Math.min(bins.length - 1, Math.floor(u * bins.length))] += 1));
  const most = Math.max(...bins);
  ctx.fillStyle = painter.look.owned;
  bins.forEach((count, i) => {
    const tall = count ? 3 + (height - 12) * Math.sqrt(count / most) : 0;
    ctx.fillRect(left + (i * inner) / bins.length, height - 2 - tall, inner / bins.length - 1, tall);
  });
  for (const span of run.spans) {
    ctx.fillStyle = painter.look[span.what === "suspended" ? "error" : "cut"];
    ctx.fillRect(left + span.u * inner, 2, Math.max(2, (span.v - span.u) * inner), 3);
  }
  ctx.fillStyle = painter.look.bad;
  for (const i of layout.marked) ctx.fillRect(left + layout.u[i] * inner - 1, 0, 3, height);
  ctx.fillStyle = painter.look.accent;
  ctx.globalAlpha = 0.12;
  const from = Math.max(0, axis.from);
  if (axis.to - axis.from < 1) ctx.fillRect(left + from * inner, 0, (Math.min(1, axis.to) - from) * inner, height);
}

// -- moving in time

// Go to an event; with a message given, follow that one ("" lets go).
function go(index, message = state.followed) {
  if (index >= 0 || message !== state.followed) Object.assign(state, { followed: message });
  if (index >= 0 && index < run.events.length) Object.assign(state, { index, u: layout.u[index] });
  axis.reveal(state.u);
  const y = layout.y[state.index];
  const area = part("scroll");
  if (y < area.scrollTop || y > area.scrollTop + area.clientHeight) area.scrollTop = y - area.clientHeight / 2;
  show();
}

// Go to a share of the axis: everything up to there has happened.
function goTo(u) {
  Object.assign(state, { u, index: lastAtMost(layout.u, u + 1e-12) });
  show();
}

function step(by, ofMessage = false) {
  const message = state.followed || run.events[state.index]?.message;
  let index = state.index + by;
  while (ofMessage && message && run.events[index] && run.events[index].message !== message) index += by;
  if (run.events[index]) go(index);
}

let last = 0;
function play(on = !state.playing) {
  state.playing = on;
  part("play").textContent = on ? "❚❚" : "▶";
  part("play").setAttribute("aria-label", on ? "Pause" : "Play");
  part("now").setAttribute("aria-live", on ? "off" : "polite"); // nobody can listen to all of it
  if (!on) return;
  if (state.u >= 1) goTo(0);
  last = performance.now();
  requestAnimationFrame(advance);
}

// The whole axis takes 8 to 60 seconds, by how much happens; what is in sight sets the pace.
function advance(now) {
  if (!state.playing) return;
  const whole = Math.min(60, Math.max(8, run.events.length * 0.12));
  goTo(Math.min(1, state.u + (((now - last) / 1000) * Math.min(1, axis.to - axis.from)) / whole));
  axis.reveal(state.u);
  last = now;
  if (state.u < 1) requestAnimationFrame(advance);
  else play(false);
}

// -- searching

function search(query) {
  state.query = query.trim().toLowerCase();
  const exact = run.messages[query.trim()] !== undefined;
  const matches = (event, i) => (exact ? event.message === query.trim() : haystack[i].includes(state.query));
  state.found = state.query ? [...run.events.keys()].filter((i) => matches(run.events[i], i)) : [];
  state.followed = exact ? query.trim() : "";
  panel.hits(state.found, state.index);
  show();
}

function nextHit(by) {
  const { found, index } = state;
  if (!found.length) return;
  const at = found.indexOf(index);
  const beyond = found.findIndex((i) => i > index);
  const next = at >= 0 ? at + by : by > 0 ? Math.max(0, beyond) : (beyond < 0 ? found.length : beyond) - 1;
  go(found[(next + found.length) % found.length]);
}

// -- the view

function zoom(factor, around) {
  axis.zoom(factor, around);
  redraw();
}

function compress(on) {
  axis.compress(on);
  layout.measure();
  part("quiet").setAttribute("aria-pressed", String(on));
  state.u = state.index < 0 ? 0 : layout.u[state.index];
  show();
}

function recolour() {
  painter.recolour();
  fillLegend(part("legend"), painter.look);
  redraw();
}

function resize() {
  const area = part("scroll");
  painter.resize(Math.max(50, area.clientWidth - part("lanes").offsetWidth), area.clientHeight);
  part("tall").style.height = `${layout.total}px`;
  labelLanes();
  redraw();
}

function labelLanes() {
  const labels = layout.lanes.map((lane) => {
    const label = element("li", lane.name, element("small", lane.role));
    label.title = lane.name;
    Object.assign(label.style, { top: `${lane.top}px`, height: `${lane.height}px` });
    return label;
  });
  fill("lanes", ...labels);
}

// -- mouse

function listenToMouse() {
  const plot = part("plot");
  let drag = null;
  plot.addEventListener("pointerdown", (event) => {
    drag = { x: event.clientX, y: event.clientY, moved: false };
    plot.setPointerCapture(event.pointerId);
  });
  plot.addEventListener("pointermove", (event) => {
    if (drag) move(event);
    else hover(event);
  });
  plot.addEventListener("pointerup", (event) => {
    const index = layout.hit(event.offsetX, event.offsetY);
    if (drag && !drag.moved) go(index, index < 0 ? "" : run.events[index].message);
    drag = null;
    part("scroll").classList.remove("dragging");
  });
  plot.addEventListener("pointerleave", () => hover(null));
  plot.addEventListener("wheel", (event) => {
    event.preventDefault();
    const sideways = event.shiftKey ? event.deltaY : event.deltaX;
    if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) axis.pan(sideways);
    else axis.zoom(1.0015 ** event.deltaY, axis.uAt(event.offsetX));
    redraw();
  }, { passive: false });

  function move(event) {
    const [x, y] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!drag.moved && Math.hypot(x, y) < 4) return;
    drag = { x: event.clientX, y: event.clientY, moved: true };
    part("scroll").classList.add("dragging");
    axis.pan(-x);
    part("scroll").scrollTop -= y;
    redraw();
  }
}

function hover(event) {
  const index = event ? layout.hit(event.offsetX, event.offsetY) : -1;
  const found = run.events[index];
  const tip = part("tip");
  tip.hidden = !found;
  if (found) {
    tip.textContent = `${inSeconds(found.t)} ${found.who}: ${found.text}`;
    const chart = part("chart").getBoundingClientRect();
    const [x, y] = [event.clientX - chart.left, event.clientY - chart.top];
    tip.style.left = `${Math.max(4, Math.min(x + 14, chart.width - tip.offsetWidth - 6))}px`;
    tip.style.top = `${y + 18 + tip.offsetHeight > chart.height ? y - 12 - tip.offsetHeight : y + 18}px`;
  }
  if (state.hovered !== (found?.message ?? "")) {
    state.hovered = found?.message ?? "";
    redraw();
  }
}

// -- keys and controls

const KEYS = {
  ArrowLeft: (event) => step(-1, event.shiftKey),
  ArrowRight: (event) => step(1, event.shiftKey),
  Home: () => go(0),
  End: () => go(run.events.length - 1),
  " ": () => play(),
  "+": () => zoom(1 / 1.5, state.u),
  "=": () => zoom(1 / 1.5, state.u),
  "-": () => zoom(1.5, state.u),
  0: () => (axis.fit(), redraw()),
  "/": () => part("search").focus(),
  c: () => compress(!axis.compressed),
  t: () => changeTheme(),
  Escape: () => letGo(),
};

function letGo() {
  part("search").value = "";
  state.followed = "";
  search("");
}

function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.id === "search") return;
    if (event.key === " " && event.target.closest("button, summary")) return; // it presses what has the focus
    const act = KEYS[event.key];
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  part("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
    if (event.key === "Escape") letGo();
  });
}

function listenToControls() {
  const presses = {
    quiet: () => compress(!axis.compressed), in: () => zoom(1 / 1.5), out: () => zoom(1.5), fit: KEYS[0],
    back: () => step(-1), step: () => step(1), play: () => play(),
  };
  for (const [id, act] of Object.entries(presses)) part(id).addEventListener("click", act);
  part("search").addEventListener("input", (event) => search(event.target.value));
  part("time").addEventListener("input", (event) => goTo(event.target.value / 100000));
  part("scroll").addEventListener("scroll", redraw);
  new ResizeObserver(resize).observe(part("scroll"));
  document.addEventListener("theme", recolour);
}

listenToMouse();
listenToKeys();
listenToControls();
part("quiet").setAttribute("aria-pressed", String(axis.compressed));
resize();
recolour();
if (run.violations.length) go(run.violations[0].events.at(-1) ?? state.index, run.violations[0].message);
else show();
