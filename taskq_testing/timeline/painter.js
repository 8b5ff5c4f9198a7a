"use strict";
// Draws the chart in three layers: the ground (grid, counts, troubles), all items on it, and what belongs to the moment.
// The first two are kept and drawn again only when the view changes, so that stepping and hovering stay smooth.

const DIM = 0.13;
const COLOURS = "lane ink muted edge accent bad ok error cancelled cut open owned ready delayed reserved dead badge on-badge";

class Painter {
  constructor(canvas, layout) {
    Object.assign(this, { canvas, layout, run: layout.run, axis: layout.axis, marked: layout.marked, seen: "" });
    this.front = canvas.getContext("2d");
    this.ground = document.createElement("canvas").getContext("2d");
    this.items = document.createElement("canvas").getContext("2d");
    this.recolour();
  }

  recolour() {
    const probe = document.body.appendChild(document.createElement("i"));
    this.look = {};
    for (const name of COLOURS.split(" ")) {
      probe.style.color = `var(--${name})`;
      this.look[name === "on-badge" ? "onBadge" : name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.seen = "";
  }

  resize(width, height) {
    this.ratio = window.devicePixelRatio || 1;
    for (const { canvas } of [this.front, this.ground, this.items]) {
      Object.assign(canvas, { width: Math.round(width * this.ratio), height: Math.round(height * this.ratio) });
    }
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.axis.width = width;
    this.layout.arrange(height);
    this.seen = "";
  }

  // moment: {index, u}; lit: the messages that are highlighted, or null for all. Returns whether the view had changed.
  draw(moment, lit) {
    const { axis, layout, look } = this;
    const view = [axis.from, axis.to, axis.compressed, layout.top].join();
    const changed = view !== this.seen;
    if (changed) this.refresh();
    this.seen = view;
    this.begin(this.front, look.lane);
    this.put(this.ground, lit ? 0.75 : 1);
    this.put(this.items, lit ? DIM : 1);
    if (lit) this.drawLit(lit);
    this.drawFuture(moment);
    return changed;
  }

  // Draw the layers that are kept.
  refresh() {
    this.begin(this.ground, null);
    this.drawGrid();
    this.layout.lanes.forEach((lane, i) => this.drawLane(lane, i));
    this.drawBreaks();
    for (const span of this.run.spans) this.drawSpan(span);
    this.begin(this.items, null);
    for (const bar of this.run.owned) this.drawOwned(bar);
    for (const arrow of this.run.arrows) this.drawArrow(arrow, false);
    for (const bar of this.run.runs) this.drawRun(bar);
    const shown = this.layout.u.reduce((count, u) => count + this.layout.inSight(u), 0);
    this.size = shown > this.axis.width ? 3.2 : 4.6;
    this.drawEvents(this.run.events.keys());
  }

  begin(ctx, background) {
    this.ctx = ctx;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    ctx.clearRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    if (background) {
      ctx.fillStyle = background;
      ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height);
    }
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, -this.layout.top * this.ratio);
    ctx.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    ctx.textBaseline = "middle";
  }

  put(layer, alpha) {
    const { ctx, axis, layout } = this;
    ctx.globalAlpha = alpha;
    ctx.drawImage(layer.canvas, 0, layout.top, axis.width, layout.height);
    ctx.globalAlpha = 1;
  }

  drawLit(lit) {
    const groups = [...lit].map((message) => this.layout.ofMessage.get(message)).filter(Boolean);
    for (const { owned, arrows } of groups) {
      for (const bar of owned) this.drawOwned(bar);
      for (const arrow of arrows) this.drawArrow(arrow, true);
    }
    if (groups.length <= 12) for (const { events } of groups) this.drawPath(events);
    for (const { runs } of groups) for (const bar of runs) this.drawRun(bar);
    for (const { events } of groups) this.drawEvents(events);
  }

  // -- the ground

  drawGrid() {
    const { ctx, layout } = this;
    ctx.fillStyle = this.look.edge;
    ctx.globalAlpha = 0.6;
    for (const [x] of this.axis.ticks()) ctx.fillRect(x - 0.5, layout.top, 1, layout.height);
    ctx.globalAlpha = 1;
  }

  drawLane(lane, i) {
    if (!this.layout.inSight(0, 1, lane.top, lane.height)) return;
    if (lane.role === "queue") this.drawCounts(lane);
    const next = this.layout.lanes[i + 1];
    this.ctx.fillStyle = this.look.edge;
    this.ctx.fillRect(0, lane.top + lane.height - 1, this.axis.width, next && next.role !== lane.role ? 2 : 1);
  }

  // How many messages the queue held, state on state, as steps.
  drawCounts(lane) {
    const { ctx, look, axis } = this;
    const { u } = this.layout;
    const rows = this.run.counts[lane.name] || [];
    const scale = (lane.height - 6) / rows.reduce((most, [, ...counts]) => Math.max(most, counts.reduce((a, b) => a + b)), 1);
    const bottom = lane.top + lane.height - 1;
    ctx.globalAlpha = 0.4;
    let i = Math.max(0, lastAtMost(rows, axis.from, ([index]) => u[index]));
    while (i < rows.length && u[rows[i][0]] <= axis.to) {
      const x = axis.x(u[rows[i][0]]);
      while (i + 1 < rows.length && axis.x(u[rows[i + 1][0]]) < x + 1) i += 1; // not more than one step a pixel
      const [, ready, delayed, reserved, dead] = rows[i];
      i += 1;
      const width = axis.x(i < rows.length ? u[rows[i][0]] : 1) - x;
      let y = bottom;
      for (const [state, count] of Object.entries({ reserved, ready, delayed, dead })) {
        ctx.fillStyle = look[state];
        if (count) ctx.fillRect(x, y - scale * count, width, scale * count);
        y -= scale * count;
      }
    }
    ctx.globalAlpha = 1;
  }

  // Where quiet time is left out of the axis, and how much of it.
  drawBreaks() {
    const { ctx, look, axis, layout } = this;
    const bottom = layout.top + layout.height;
    ctx.strokeStyle = look.muted;
    for (const { from, to, t } of axis.breaks()) {
      const [x, end] = [axis.x(from), axis.x(to)];
      if (end - x < 7 || end < 0 || x > axis.width) continue;
      ctx.globalAlpha = 0.35;
      ctx.setLineDash([1, 5]);
      ctx.beginPath();
      lines(ctx, [[(x + end) / 2, layout.top, (x + end) / 2, bottom]]);
      ctx.stroke();
      ctx.setLineDash([]);
      ctx.globalAlpha = 1;
      const words = lengthOf(t);
      const room = ctx.measureText(words).width;
      if (end - x > room + 6) this.drawWords(words, (x + end - room) / 2, bottom - 9, look.muted);
    }
  }

  drawWords(words, x, y, colour) {
    this.ctx.fillStyle = colour;
    this.ctx.fillText(words, x, y);
  }

  // Shaded where a process stood still, was gone or could not reach the broker.
  drawSpan(span) {
    const { ctx, look, axis, layout } = this;
    if (!layout.inSight(span.u, span.v)) return;
    const [x, width] = [axis.x(span.u), Math.max(2, axis.x(span.v) - axis.x(span.u))];
    const { colour, step, slant } = SPANS[span.what];
    for (const i of span.lanes) {
      const { top, height } = layout.lanes[i];
      ctx.save();
      ctx.beginPath();
      ctx.rect(x, top, width, height - 1);
      ctx.clip();
      ctx.strokeStyle = ctx.fillStyle = look[colour];
      ctx.globalAlpha = span.what === "paused" ? 0.1 : 0.2;
      ctx.fill();
      ctx.globalAlpha = 0.4;
      ctx.beginPath();
      for (let at = Math.max(x, 0) - height; step && at < Math.min(x + width, axis.width); at += step) {
        lines(ctx, [[at, top + height, at + slant * height, top]]);
      }
      ctx.stroke();
      ctx.globalAlpha = 1;
      const from = Math.max(x, 0);
      const y = span.what === "cut" ? top + height - 10 : top + (PAD + LEVEL / 2) * layout.grown;
      if (x + width - from > ctx.measureText(span.label).width + 26) this.drawWords(span.label, from + 16, y, look.ink);
      ctx.restore();
    }
  }

  // -- items

  drawOwned(bar) {
    const { ctx, look, axis, layout } = this;
    const y = layout.ownedY(bar);
    const height = (OWN - 2) * layout.grown;
    if (Number.isNaN(y) || !layout.inSight(bar.u, bar.v, y, height)) return;
    const x = axis.x(bar.u);
    const end = Math.max(x + 2, axis.x(bar.v));
    ctx.fillStyle = look.owned;
    ctx.fillRect(x, y, end - x, height);
    ctx.fillStyle = look.ink;
    for (const i of bar.extended) ctx.fillRect(axis.x(layout.u[i]), y - 1, 1.5, height + 2);
    if (bar.outcome === "expired") ctx.fillRect(end - 1, y - 3, 2.5, height + 6);
    if (this.marked.has(bar.begin)) this.drawFrame(x, y, end - x, height);
  }

  drawRun(bar) {
    const { ctx, look, axis, layout } = this;
    const y = layout.runY(bar) + 2;
    const height = RUN * layout.grown - 4;
    if (Number.isNaN(y) || !layout.inSight(bar.u, bar.v, y, height)) return;
    const x = axis.x(bar.u);
    const width = Math.max(4, axis.x(bar.v) - x);
    runBar(ctx, bar.outcome, x, y, width, height, look);
    const from = Math.max(x, 0);
    const words = fitted(ctx, bar.label, Math.min(x + width, axis.width) - from - 10);
    if (words) {
      ctx.fillStyle = look[bar.outcome] || look.open;
      ctx.fillRect(from + 3, y + 1, ctx.measureText(words).width + 4, height - 2);
      this.drawWords(words, from + 5, y + height / 2 + 0.5, look.lane);
    }
    if (this.marked.has(bar.begin) || this.marked.has(bar.end)) this.drawFrame(x, y, width, height);
  }

  drawFrame(x, y, width, height) {
    this.ctx.strokeStyle = this.look.bad;
    this.ctx.lineWidth = 2;
    this.ctx.strokeRect(x - 2, y - 2, width + 4, height + 4);
  }

  // From the end of a reservation that settled nothing to the next one: dashed where it ran out.
  drawArrow(arrow, strong) {
    const { ctx, look, axis, layout, run } = this;
    const [a, b] = [run.owned[arrow.from], run.owned[arrow.to]];
    const [y, toY] = [layout.ownedY(a) + 2, layout.ownedY(b) + 2];
    if (Number.isNaN(y + toY) || !layout.inSight(a.v, b.u)) return;
    const [x, toX] = [axis.x(a.v), axis.x(b.u)];
    const bow = Math.min(60, 14 + (toX - x) / 4);
    const sag = y === toY ? 14 : 0;
    ctx.globalAlpha = strong ? 1 : 0.45;
    ctx.strokeStyle = ctx.fillStyle = strong ? look.accent : look.muted;
    ctx.lineWidth = strong ? 2 : 1.2;
    ctx.setLineDash(arrow.why === "released" ? [] : [4, 3]);
    ctx.beginPath();
    ctx.moveTo(x, y);
    ctx.bezierCurveTo(x + bow, y + sag, toX - bow, toY + sag, toX - 4, toY);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.beginPath();
    outline(ctx, [[toX, toY], [toX - 7, toY - 4], [toX - 7, toY + 4]]);
    ctx.fill();
    ctx.globalAlpha = 1;
  }

  // Marks of one kind are drawn in one go: thousands of single ones take too long.
  drawEvents(indexes) {
    const { layout, axis, run } = this;
    const places = new Map();
    const rings = [];
    for (const i of indexes) {
      const [event, y] = [run.events[i], layout.y[i]];
      if (!layout.inSight(layout.u[i], layout.u[i], y)) continue;
      const x = axis.x(layout.u[i]);
      if (event.lane < 0) this.drawLine(event, i, x);
      if (event.lane < 0 || IN_BARS.has(event.kind)) continue;
      if (event.kind === "crash") this.drawCrash(event, x);
      if (!places.has(event.kind)) places.set(event.kind, []);
      places.get(event.kind).push([x, y]);
      if (this.marked.has(i)) rings.push([x, y]);
    }
    for (const [kind, all] of places) glyphs(this.ctx, kind, all.filter(apart()), this.size, this.look);
    for (const [x, y] of rings) this.drawRing(x, y);
  }

  drawRing(x, y) {
    const { ctx, look } = this;
    ctx.strokeStyle = look.bad;
    ctx.lineWidth = 2.5;
    ctx.beginPath();
    ctx.arc(x, y, 9, 0, 2 * Math.PI);
    ctx.stroke();
  }

  drawCrash(event, x) {
    const { top, height } = this.layout.lanes[event.lane];
    this.ctx.fillStyle = this.look.badge;
    this.ctx.fillRect(x - 1, top, 2, height - 1);
  }

  // What concerns everybody: the broker's restarts, the end of the faults, the end of the run.
  drawLine(event, i, x) {
    const { ctx, look, layout } = this;
    ctx.fillStyle = this.marked.has(i) ? look.bad : look.badge;
    ctx.fillRect(x - 1, layout.top, 2, layout.height);
    if (event.kind === "rest") return;
    const words = (event.kind === "fault" ? event.fields.outcome : event.kind).replaceAll("_", " ");
    const width = ctx.measureText(words).width + 10;
    const left = x + width > this.axis.width ? x - width + 1 : x - 1;
    ctx.beginPath();
    ctx.roundRect(left, layout.top + 4, width, 17, 4);
    ctx.fill();
    this.drawWords(words, left + 5, layout.top + 13, look.onBadge);
  }

  // The way of one message through the lanes.
  drawPath(events) {
    const { ctx, axis, layout } = this;
    ctx.strokeStyle = this.look.accent;
    ctx.lineWidth = 1.6;
    ctx.globalAlpha = 0.75;
    ctx.beginPath();
    let before = null;
    for (const i of events) {
      const [x, y] = [axis.x(layout.u[i]), layout.y[i]];
      if (Number.isNaN(y)) continue;
      if (before) ctx.bezierCurveTo((before.x + x) / 2, before.y, (before.x + x) / 2, y, x, y);
      else ctx.moveTo(x, y);
      before = { x, y };
    }
    ctx.stroke();
    ctx.globalAlpha = 1;
  }

  // -- the moment

  // A veil over what has not happened yet, and a box round what happened last.
  drawFuture({ index, u }) {
    const { ctx, look, axis, layout } = this;
    const x = axis.x(u);
    ctx.fillStyle = look.lane;
    ctx.globalAlpha = 0.68;
    ctx.fillRect(x + 1, layout.top, Math.max(0, axis.width - x), layout.height);
    for (let i = index + 1; layout.u[i] <= u; i += 1) ctx.fillRect(x - 9, layout.y[i] - 7, 10, 14); // at this instant, but later
    ctx.globalAlpha = 1;
    ctx.fillStyle = look.accent;
    ctx.fillRect(x - 0.75, layout.top, 1.5, layout.height);
    const y = layout.y[index];
    if (Number.isNaN(y ?? NaN)) return;
    const at = axis.x(layout.u[index]);
    ctx.save();
    ctx.beginPath();
    ctx.rect(at - 8, y - 8, 16, 16);
    ctx.clip();
    this.put(this.items, 1);
    ctx.restore();
    ctx.strokeStyle = look.accent;
    ctx.lineWidth = 2;
    ctx.strokeRect(at - 8, y - 8, 16, 16);
  }
}

function fitted(ctx, words, room) {
  if (room < 14) return "";
  if (ctx.measureText(words).width <= room) return words;
  const short = words.slice(words.lastIndexOf(".") + 1);
  return ctx.measureText(short).width <= room ? short : "";
}

// A filter of places that leaves out those that are less than a pixel from the one before on the same level.
function apart() {
  const before = new Map();
  return ([x, y]) => {
    if (x - (before.get(y) ?? -Infinity) < 1) return false;
    before.set(y, x);
    return true;
  };
}
