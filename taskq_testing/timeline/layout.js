"use strict";
// Where everything is: lanes from top to bottom, time from left to right; and what is at a place.

const TOP = 26; // above the first lane: what concerns all of them
const PAD = 8;
const LEVEL = 14;
const RUN = 18;
const OWN = 6;
const IN_BARS = new Set(["start", "end", "fallback", "fallback_end"]);

class Layout {
  constructor(run, axis) {
    Object.assign(this, { run, axis, top: 0, height: 0 });
    this.marked = new Set(run.violations.flatMap((violation) => violation.events));
    this.ofMessage = groupByMessage(run);
    this.arrange(0);
    this.measure();
  }

  // Lanes one below the other, a little taller where there is room.
  arrange(room) {
    const tall = (lane) => ({ producer: 2 * LEVEL, queue: 4 * LEVEL, worker: LEVEL + Math.max(1, lane.runs) * RUN + 3 + lane.owned * OWN })[lane.role];
    const needed = this.run.lanes.reduce((sum, lane) => sum + tall(lane) + 2 * PAD, 0);
    this.grown = Math.min(1.8, Math.max(1, (room - TOP) / Math.max(1, needed)));
    let top = TOP;
    this.lanes = this.run.lanes.map((lane) => {
      const placed = { ...lane, top, height: (tall(lane) + 2 * PAD) * this.grown };
      top += placed.height;
      return placed;
    });
    this.total = top;
    this.height = room;
    this.y = this.run.events.map((event) => this.inLane(event, PAD + LEVEL / 2 + event.level * LEVEL));
    for (const bar of this.run.runs) {
      for (const i of [bar.begin, bar.end]) {
        if (i >= 0 && this.run.events[i].kind !== "crash") this.y[i] = this.runY(bar) + (RUN * this.grown) / 2;
      }
    }
  }

  // NaN for what is in no lane.
  inLane(thing, down) {
    return thing.lane < 0 ? NaN : this.lanes[thing.lane].top + down * this.grown;
  }

  runY(bar) {
    return this.inLane(bar, PAD + LEVEL + bar.row * RUN);
  }

  ownedY(bar) {
    return this.inLane(bar, PAD + LEVEL + Math.max(1, this.lanes[bar.lane]?.runs) * RUN + 3 + bar.row * OWN);
  }

  // Where each thing is along the axis; to be called again when the axis is compressed or not.
  measure() {
    const { events, runs, owned, spans } = this.run;
    this.u = Float64Array.from(events, (_, i) => this.axis.at(i));
    for (const thing of [...runs, ...owned, ...spans]) {
      const byEvent = thing.end >= 0 && events[thing.end].t === thing.to;
      thing.u = this.u[thing.begin];
      thing.v = byEvent ? this.u[thing.end] : Math.max(thing.u, this.axis.u(thing.to ?? this.axis.end));
    }
  }

  inSight(u, v = u, y = NaN, height = 0) {
    if (v < this.axis.from - 0.02 || u > this.axis.to + 0.02) return false;
    return Number.isNaN(y) || (y + height > this.top - 20 && y < this.top + this.height + 20);
  }

  // The event that is drawn nearest to a place of the chart, or -1; inside a bar the one that begins it.
  hit(x, y) {
    const py = y + this.top;
    let [best, distance] = [-1, 12];
    this.run.events.forEach((event, i) => {
      const away = Math.hypot(this.axis.x(this.u[i]) - x, Number.isNaN(this.y[i]) ? 6 : this.y[i] - py);
      if (away < distance) [best, distance] = [i, away];
    });
    if (distance < 6) return best;
    const inside = (bar, top, height) =>
      py >= top - 1 && py <= top + height && x >= this.axis.x(bar.u) - 2 && x <= this.axis.x(bar.v) + 4;
    const bar =
      this.run.runs.find((each) => inside(each, this.runY(each), RUN * this.grown)) ||
      this.run.owned.find((each) => inside(each, this.ownedY(each), OWN * this.grown));
    return bar ? bar.begin : best;
  }
}

// For each message what is drawn of it: indexes of its events, its bars and arrows.
function groupByMessage(run) {
  const groups = new Map();
  const group = (message) => groups.get(message) || groups.set(message, { events: [], runs: [], owned: [], arrows: [] }).get(message);
  run.events.forEach((event, i) => event.message && group(event.message).events.push(i));
  for (const bar of run.runs) group(bar.message).runs.push(bar);
  for (const bar of run.owned) group(bar.message).owned.push(bar);
  for (const arrow of run.arrows) group(run.owned[arrow.from].message).arrows.push(arrow);
  return groups;
}
