"use strict";
// Time along the chart. t is nanoseconds, u a share of the whole axis from 0 to 1, x pixels of the chart.

class Axis {
  // times: when each event happened, in order.
  constructor(times, end) {
    this.end = Math.max(end, 1);
    this.moments = [0];
    for (const t of [...times, this.end]) this.moments.push(Math.max(t, this.moments.at(-1)));
    this.gaps = this.moments.slice(1).map((t, i) => t - this.moments[i]);
    const lengths = this.gaps.filter((gap) => gap > 0).sort((a, b) => a - b);
    this.usual = 2 * (lengths[Math.floor(lengths.length * 0.75)] || 1); // what is longer than this is quiet
    this.instant = (0.5 * this.gaps.reduce((sum, gap) => sum + this.shortened(gap), 0)) / this.gaps.length;
    this.width = 1;
    const active = this.gaps.reduce((sum, gap) => sum + Math.min(gap, this.usual), 0);
    this.compress(active < this.end / 2 || lengths.length < this.gaps.length / 2);
  }

  // A quiet gap is longer than a usual one, but never more than three times as long.
  shortened(gap) {
    return gap <= this.usual ? gap : this.usual * (3 - (2 * this.usual) / gap);
  }

  // On: quiet gaps are short, and what happens at one instant is drawn side by side, in order.
  compress(on) {
    this.compressed = on;
    this.ends = [0];
    for (const gap of this.gaps) this.ends.push(this.ends.at(-1) + (on ? Math.max(this.instant, this.shortened(gap)) : gap));
    const total = this.ends.at(-1);
    this.ends = this.ends.map((length) => length / total);
    this.fit();
  }

  // Where the event of an index is.
  at(index) {
    return this.ends[index + 1];
  }

  u(t) {
    return interpolate(this.moments, this.ends, t);
  }

  t(u) {
    return interpolate(this.ends, this.moments, u);
  }

  x(u) {
    return ((u - this.from) / (this.to - this.from)) * this.width;
  }

  uAt(x) {
    return this.from + (x / this.width) * (this.to - this.from);
  }

  // The gaps that are drawn much shorter than they are, as {from, to, t}.
  breaks() {
    if (!this.compressed) return [];
    const long = (gap) => this.shortened(gap) < gap / 3;
    return this.gaps.flatMap((gap, i) => (long(gap) ? [{ from: this.ends[i], to: this.ends[i + 1], t: gap }] : []));
  }

  // -- what is in sight

  fit() {
    this.look(-0.01, 1.01);
  }

  look(from, to) {
    const span = Math.min(Math.max(to - from, 1e-7), 1.02);
    this.from = Math.min(Math.max(from, -0.01), 1.01 - span);
    this.to = this.from + span;
  }

  zoom(factor, around = (this.from + this.to) / 2) {
    this.look(around - (around - this.from) * factor, around + (this.to - around) * factor);
  }

  pan(pixels) {
    const by = (pixels / this.width) * (this.to - this.from);
    this.look(this.from + by, this.to + by);
  }

  reveal(u) {
    const span = this.to - this.from;
    if (u < this.from + span * 0.02 || u > this.to - span * 0.02) this.look(u - span * 0.4, u + span * 0.6);
  }

  // Round moments about `distance` pixels apart, as [x, seconds].
  ticks(distance = 96) {
    if (!this.compressed) return this.evenTicks(distance);
    const found = [];
    for (let x = distance / 2; x < this.width - 16; x += distance) {
      const [a, b] = [this.uAt(x - distance / 4), this.uAt(x + distance / 4)];
      if (b < 0 || a > 1) continue;
      const seconds = roundest(this.t(a) / 1e9, this.t(b) / 1e9);
      const at = this.x(this.u(seconds * 1e9));
      const [before, value] = found.at(-1) || [-distance, -1];
      if (at - before > distance / 2 && seconds > value) found.push([at, seconds]);
    }
    return found;
  }

  evenTicks(distance) {
    const [from, to] = [this.from, this.to].map((u) => (u * this.end) / 1e9);
    const least = ((to - from) * distance) / this.width;
    const step = roundest(least, least * 2.5);
    const first = Math.max(0, Math.ceil(from / step));
    const count = Math.max(0, Math.floor(Math.min(to, this.end / 1e9) / step) - first + 1);
    const all = Array.from({ length: count }, (_, i) => Number(((first + i) * step).toPrecision(12)));
    return all.map((seconds) => [this.x(this.u(seconds * 1e9)), seconds]).filter(([x]) => x < this.width - 16);
  }
}

function interpolate(froms, tos, value) {
  const last = froms.length - 1;
  if (value <= froms[0]) return tos[0];
  if (value >= froms[last]) return tos[last];
  const i = lastAtMost(froms, value);
  return tos[i] + ((value - froms[i]) / (froms[i + 1] - froms[i])) * (tos[i + 1] - tos[i]);
}

// The index of the last of the sorted values that is at most `value`; -1 if none is.
function lastAtMost(values, value, key = (each) => each) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (key(values[middle]) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

// The number between a and b that has the fewest digits.
function roundest(a, b) {
  for (let power = Math.ceil(Math.log10(Math.max(b, 1e-9))); power > -10; power -= 1) {
    for (const step of [5, 2, 1]) {
      const size = step * 10 ** power;
      const value = Math.ceil(a / size - 1e-9) * size;
      if (value <= b) return Number(value.toPrecision(12));
    }
  }
  return a;
}

function inSeconds(t) {
  return `${(t / 1e9).toFixed(3)}s`;
}

function lengthOf(t) {
  const seconds = t / 1e9;
  if (seconds >= 7200) return `${(seconds / 3600).toPrecision(3)} h`;
  if (seconds >= 120) return `${(seconds / 60).toPrecision(3)} min`;
  if (seconds >= 1) return `${Number(seconds.toPrecision(3))} s`;
  return seconds >= 1e-3 ? `${Number((seconds * 1e3).toPrecision(3))} ms` : `${Number((seconds * 1e6).toPrecision(3))} µs`;
}
