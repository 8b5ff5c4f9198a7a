"use strict";
// How each kind of event looks: a shape and a colour, so that neither has to be told apart alone.

const BOLT = [[0.4, -1.4], [-1, 0.3], [0, 0.2], [-0.4, 1.4], [1, -0.3], [0, -0.2]];
const SHAPES = {
  dot: (ctx, x, y, r) => (ctx.moveTo(x + r * 0.9, y), ctx.arc(x, y, r * 0.9, 0, 2 * Math.PI)),
  square: (ctx, x, y, r) => ctx.rect(x - r * 0.8, y - r * 0.8, r * 1.6, r * 1.6),
  diamond: (ctx, x, y, r) => outline(ctx, [[x, y - r * 1.2], [x + r * 1.2, y], [x, y + r * 1.2], [x - r * 1.2, y]]),
  up: (ctx, x, y, r) => outline(ctx, [[x, y - r], [x + r, y + r * 0.8], [x - r, y + r * 0.8]]),
  down: (ctx, x, y, r) => outline(ctx, [[x, y + r], [x + r, y - r * 0.8], [x - r, y - r * 0.8]]),
  right: (ctx, x, y, r) => outline(ctx, [[x + r, y], [x - r * 0.8, y + r], [x - r * 0.8, y - r]]),
  left: (ctx, x, y, r) => outline(ctx, [[x - r, y], [x + r * 0.8, y + r], [x + r * 0.8, y - r]]),
  cross: (ctx, x, y, r) => lines(ctx, [[x - r, y - r, x + r, y + r], [x - r, y + r, x + r, y - r]]),
  tick: (ctx, x, y, r) => lines(ctx, [[x, y - r, x, y + r]]),
  bolt: (ctx, x, y, r) => outline(ctx, BOLT.map(([right, down]) => [x + right * r, y + down * r])),
};

// kind: [shape, colour, "hollow" or "thin", what the legend says]
const GLYPHS = {
  add: ["right", "ink", "hollow", "enqueue begins"],
  accepted: ["dot", "ok", "", "accepted, or done"],
  duplicate: ["square", "error", "hollow", "duplicate"],
  refused: ["cross", "error", "thin", "refused, or came too late"],
  unknown: ["diamond", "error", "hollow", "no answer"],
  stored: ["square", "ink", "", "stored"],
  denied: ["square", "error", "hollow"],
  due: ["up", "accent", "", "due, ready again"],
  redriven: ["up", "accent", ""],
  restored: ["up", "accent", "hollow"],
  cloned: ["square", "accent", ""],
  corrupted: ["bolt", "error", ""],
  reserved: ["down", "ink", "", "reserved"],
  extended: ["tick", "ink", "thin", "extended"],
  acked: ["dot", "ok", ""],
  released: ["left", "error", "", "given back"],
  dead: ["cross", "ink", "thin", "dead letter"],
  expired: ["diamond", "cut", "hollow", "reservation ran out"],
  stale: ["cross", "error", "thin"],
  purged: ["tick", "cut", "thin"],
  crash: ["cross", "badge", "thin"],
  spawn: ["right", "badge", ""],
  suspend: ["tick", "badge", "thin"],
  wake: ["right", "badge", "hollow"],
  cut: ["tick", "badge", "thin"],
  mended: ["right", "badge", "hollow"],
  fault: ["bolt", "badge", "", "injected fault"],
};
const SPANS = {
  suspended: { colour: "error", step: 0, slant: 0 },
  down: { colour: "muted", step: 6, slant: 0 },
  cut: { colour: "cancelled", step: 9, slant: 1 },
  paused: { colour: "muted", step: 0, slant: 0 },
};
const OTHER = ["dot", "muted", "small"];
const BARS = ["ok", "error", "cancelled", "cut", "open"];
const BAR_WORDS = { ok: "run: ok", error: "run: error", cancelled: "run: cancelled", cut: "run: cut off by a crash", open: "run: goes on" };

// Marks of one kind at all the places.
function glyphs(ctx, kind, places, size, look) {
  const [shape, colour, style] = GLYPHS[kind] || OTHER;
  ctx.beginPath();
  for (const [x, y] of places) SHAPES[shape](ctx, x, y, style === "small" ? 2 : size);
  ctx.strokeStyle = ctx.fillStyle = look[colour];
  ctx.lineWidth = style === "thin" ? 2.4 : 1.6;
  if (style === "hollow") {
    ctx.fillStyle = look.lane;
    ctx.fill();
    ctx.stroke();
  } else if (style === "thin") ctx.stroke();
  else ctx.fill();
}

// A run: full where it ended well, and otherwise with a pattern of its own.
function runBar(ctx, outcome, x, y, width, height, look) {
  ctx.fillStyle = look[outcome] || look.open;
  ctx.strokeStyle = look.lane;
  ctx.beginPath();
  if (outcome === "cut") jagged(ctx, x, y, width, height);
  else ctx.roundRect(x, y, width, height, 3);
  ctx.fill();
  if (outcome === "ok" || outcome === "open" || width < 6) return;
  ctx.save();
  ctx.clip();
  ctx.lineWidth = 1.3;
  const slant = outcome === "cancelled" ? 0 : height;
  ctx.beginPath();
  for (let at = x - slant + 4; at < x + width; at += outcome === "cut" ? 5 : 9) {
    ctx.moveTo(at, y + height);
    ctx.lineTo(at + slant, y);
  }
  ctx.globalAlpha *= 0.55;
  ctx.stroke();
  ctx.restore();
}

function jagged(ctx, x, y, width, height) {
  const end = x + width;
  const teeth = [[end, y], [end - 4, y + height * 0.3], [end + 1, y + height * 0.55], [end - 4, y + height * 0.8], [end, y + height]];
  outline(ctx, [[x, y], ...teeth, [x, y + height]]);
}

function outline(ctx, points) {
  points.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
  ctx.closePath();
}

function lines(ctx, all) {
  for (const [x, y, toX, toY] of all) {
    ctx.moveTo(x, y);
    ctx.lineTo(toX, toY);
  }
}

// The legend, drawn with the same functions as the chart.
function fillLegend(list, look) {
  const row = (words, paint) => {
    const canvas = Object.assign(document.createElement("canvas"), { width: 44, height: 32 });
    canvas.style.width = "22px";
    const ctx = canvas.getContext("2d");
    ctx.scale(2, 2);
    paint(ctx);
    const item = document.createElement("li");
    item.append(canvas, words);
    return item;
  };
  const marks = Object.entries(GLYPHS).filter(([, [, , , words]]) => words);
  list.replaceChildren(
    ...BARS.map((outcome) => row(BAR_WORDS[outcome], (ctx) => runBar(ctx, outcome, 1, 3, 20, 10, look))),
    row("reservation", (ctx) => {
      ctx.fillStyle = look.owned;
      ctx.fillRect(1, 6, 20, 4);
    }),
    ...["ready", "delayed", "reserved", "dead"].map((state) =>
      row(`queue: ${state}`, (ctx) => {
        ctx.globalAlpha = 0.6;
        ctx.fillStyle = look[state];
        ctx.fillRect(1, 2, 20, 12);
      }),
    ),
    ...marks.map(([kind, [, , , words]]) => row(words, (ctx) => glyphs(ctx, kind, [[11, 8]], 4.6, look))),
  );
}
