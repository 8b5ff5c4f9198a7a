"use strict";
// The text beside the chart: what happened at the moment, and how things stood after it. All of it is set as text.

class Panel {
  constructor(run, go) {
    Object.assign(this, { run, go });
    document.getElementById("summary").textContent = run.summary;
    this.violations();
  }

  violations() {
    const rows = this.run.violations.map(({ invariant, sentence, events, message }) => {
      const button = element("button", element("b", `✗ Invariant ${invariant}`), element("span", sentence));
      const next = () => (this.followed === message && events.find((i) => i > this.index)) || events[0];
      button.addEventListener("click", () => this.go(next() ?? -1, message));
      return button;
    });
    document.getElementById("violations").replaceChildren(...rows);
  }

  // selected: the message that is followed, or "".
  show(index, selected) {
    Object.assign(this, { index, followed: selected });
    const event = this.run.events[index];
    this.now(event, index);
    this.queues(index);
    this.workers(index);
    this.story(selected || event?.message || "");
    this.around(index, selected);
  }

  now(event, index) {
    const place = `event ${index + 1} of ${this.run.events.length}`;
    fill("fields");
    if (!event) return fill("now", element("p", "Nothing has happened yet."));
    const when = element("p", element("b", inSeconds(event.t)), ` ${place}`);
    fill("now", when, element("p", element("b", `${event.who}: `), event.text));
    const fields = Object.entries({ kind: event.kind, message: event.message, ...event.fields }).filter(([, value]) => value !== "");
    fill("fields", ...fields.flatMap(([name, value]) => [element("dt", name), element("dd", this.value(name, value))]));
  }

  value(name, value) {
    if (name === "due" || name === "expires") return inSeconds(value);
    if (name === "delay" || name === "ttl") return `${value} s`;
    return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value);
  }

  queues(index) {
    const rows = Object.entries(this.run.counts).map(([queue, counts]) => {
      const at = lastAtMost(counts, index, ([event]) => event);
      const sizes = at < 0 ? [0, 0, 0, 0] : counts[at].slice(1);
      const name = element("th", queue);
      name.scope = "row";
      return element("tr", name, ...sizes.map((size) => Object.assign(element("td", String(size)), { className: size ? "" : "none" })));
    });
    document.querySelector("#queues tbody").replaceChildren(...rows);
  }

  workers(index) {
    const now = this.run.events[index]?.t ?? 0;
    const open = (thing) => thing.begin <= index && (thing.end >= 0 ? thing.end > index : thing.to === null || thing.to === undefined || thing.to > now || thing.outcome === "open");
    const rows = this.run.lanes.filter((lane) => lane.role === "worker").map(({ name }) => {
      const states = this.run.spans.filter((span) => span.process === name && open(span)).map((span) => span.label);
      const runs = this.run.runs.filter((run) => this.run.events[run.begin].who === name && open(run));
      const doing = runs.map((run) => `runs ${run.message} (${run.label}) since ${inSeconds(run.from)}`);
      const words = [...states, ...doing].join("; ");
      return element("li", element("b", name), Object.assign(element("span", words || "idle"), { className: words ? "" : "muted" }));
    });
    fill("workers", ...rows);
  }

  story(message) {
    const known = this.run.messages[message];
    document.getElementById("story").hidden = !known;
    if (!known || message === this.told) return;
    this.told = message;
    document.getElementById("whose").textContent = message;
    fill("why", ...known.why.map((sentence) => element("li", sentence)));
  }

  around(index, selected) {
    const all = [...this.run.events.keys()].filter((i) => !selected || this.run.events[i].message === selected || i === index);
    const at = Math.max(0, lastAtMost(all, index));
    fill("around", ...all.slice(Math.max(0, at - 4), at + 5).map((i) => this.line(i, index)));
  }

  line(i, index) {
    const event = this.run.events[i];
    const button = element("button", element("time", inSeconds(event.t)), ` ${event.who}: ${event.text}`);
    if (i === index) button.setAttribute("aria-current", "true");
    if (i > index) button.className = "future";
    button.addEventListener("click", () => this.go(i));
    return element("li", button);
  }

  hits(found, index) {
    document.getElementById("hit-list").hidden = !found.length;
    const at = Math.max(0, found.indexOf(index));
    const first = Math.max(0, Math.min(at - 3, found.length - 60));
    fill("hits", ...found.slice(first, first + 60).map((i) => this.line(i, index)));
    document.querySelector("#hits [aria-current]")?.scrollIntoView({ block: "nearest" });
  }
}

function element(name, ...content) {
  const made = document.createElement(name);
  made.append(...content);
  return made;
}

function fill(id, ...content) {
  document.getElementById(id).replaceChildren(...content);
}
