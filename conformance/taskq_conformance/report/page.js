"use strict";
// Shows the matrix. Text from the results is set as text, never as markup.
const STATES = ["passed", "failed", "expected failure", "not run"];
const state = { search: "", only: "", open: null };

function make(tag, options = {}, ...children) {
  const { text, kind, ...attributes } = options;
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const kindOf = (status) => status.split(" ")[0];
const lasting = (seconds) => (seconds < 0.0005 ? "0 s" : seconds < 1 ? `${(seconds * 1000).toPrecision(2) * 1} ms` : `${seconds.toPrecision(3) * 1} s`);
const searched = (row) =>
  [row.number, row.group, row.sentence, ...row.cells.flatMap((cell) => cell.results.flatMap((each) => [each.scenario, each.sentence, each.reason]))]
    .join("\n")
    .toLowerCase();

// -- the table

function head() {
  part("verdict").textContent = run.verdict[1];
  part("verdict").dataset.state = run.verdict[0];
  part("facts").append(...run.facts.map((fact) => make("span", { text: fact })));
  for (const [number, target] of run.targets.entries()) {
    const button = make("button", { "aria-controls": "panel" }, target.name, make("small", { text: target.tally }));
    button.title = target.about;
    button.addEventListener("click", () => open(button, () => tellTarget(target)));
    part("targets").append(make("th", { scope: "col", "data-target": number }, button));
  }
  part("states").append(
    ...["", ...STATES].map((name) => {
      const button = make("button", { text: name || "all", "aria-pressed": String(state.only === name) });
      button.addEventListener("click", () => {
        state.only = name;
        for (const each of part("states").children) each.setAttribute("aria-pressed", String(each === button));
        filter();
      });
      return button;
    }),
  );
  if (run.missing.length) {
    part("missing").hidden = false;
    part("missing").querySelector("ul").append(...run.missing.map((each) => make("li", { text: `${each.name}: ${each.reason}` })));
  }
}

function body() {
  let group = null;
  for (const row of run.rows) {
    if (row.group !== group) {
      group = row.group;
      const title = make("th", { colspan: run.targets.length + 1, scope: "colgroup" }, make("span", { text: group }));
      part("rows").append(make("tr", { kind: "group" }, title));
    }
    const line = make("tr", {}, make("th", { scope: "row" }, make("b", { text: row.number }), ` ${row.sentence}`));
    line.row = row;
    row.searched = searched(row);
    line.append(...row.cells.map((cell, number) => make("td", {}, ...(cell.state === "none" ? [] : [button(row, cell, run.targets[number])]))));
    part("rows").append(line);
  }
}

function button(row, cell, target) {
  const told = `${target.name}, ${row.number}: ${cell.state}`;
  const element = make("button", { kind: kindOf(cell.state), text: cell.text, "aria-label": told, "aria-controls": "panel" });
  element.title = [`${told}, ${lasting(cell.seconds)}`, ...cell.reasons].join("\n");
  element.addEventListener("click", () => open(element, () => tellCell(row, cell, target)));
  return element;
}

function filter() {
  const fits = ({ row }) =>
    row.searched.includes(state.search) && (!state.only || row.cells.some((cell) => cell.results.some((each) => each.status === state.only)));
  let title = null;
  let shown = 0;
  for (const line of part("rows").children) {
    if (!line.row) {
      title = line;
      title.hidden = true;
      continue;
    }
    line.hidden = !fits(line);
    shown += !line.hidden;
    if (!line.hidden) title.hidden = false;
  }
  part("none").hidden = shown > 0;
}

// -- the details

function open(from, tell) {
  close();
  state.open = from;
  from.setAttribute("aria-expanded", "true");
  part("details").replaceChildren();
  tell();
  part("panel").hidden = false;
  part("panel").scrollTop = 0;
}

function close() {
  state.open?.removeAttribute("aria-expanded");
  state.open = null;
  part("panel").hidden = true;
}

function tellCell(row, cell, target) {
  part("what").textContent = `${row.number} on ${target.name}: ${cell.state}`;
  part("sentence").textContent = row.sentence;
  const order = (each) => ["failed", "expected failure", "not run", "passed"].indexOf(each.status);
  for (const each of [...cell.results].sort((one, other) => order(one) - order(other))) {
    const time = each.status === "not run" ? "" : `${lasting(each.seconds)}${each.virtual === null ? "" : `, ${lasting(each.virtual)} of virtual time`}`;
    const article = make(
      "article",
      {},
      make("b", { text: each.scenario + (each.seed ? ` (seed ${each.seed})` : "") }),
      " ",
      make("span", { kind: `mark ${kindOf(each.status)}`, text: each.status }),
      make("p", { text: each.sentence }),
      make("p", { kind: "small", text: time }),
    );
    if (each.reason) article.append(make("p", { text: each.reason }));
    if (each.error) article.append(make("details", {}, make("summary", { text: "Traceback" }), make("pre", { text: each.error })));
    part("details").append(article);
  }
}

function tellTarget(target) {
  part("what").textContent = target.name;
  part("sentence").textContent = target.about;
  const facts = [
    ["came to", `${target.tally}, in ${lasting(target.seconds)}`],
    ["time", `${target.time}, one tick is ${lasting(target.tick)}`],
    ...Object.entries(target.versions),
    ...Object.entries(target.capabilities),
  ];
  part("details").append(make("dl", {}, ...facts.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })])));
  for (const text of target.underclaimed) {
    part("details").append(make("article", {}, make("b", { text: "Seems to do more than it claims" }), make("p", { text })));
  }
}

// -- the view

head();
body();
part("close").addEventListener("click", () => {
  const from = state.open;
  close();
  from?.focus();
});
part("search").addEventListener("input", () => {
  state.search = part("search").value.trim().toLowerCase();
  filter();
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape") close();
});
