// A table of many rows that stays where it is: rows by key, cells written only where they differ, and a long one
// in slices, so that a picture is never late.  Arrows go through the rows, Enter opens one.

import { attribute, el, keyed, text } from "./dom.js";
import { whole } from "./format.js";

const SLICE = 6; // ms of a frame

export class Table {
  /**
   * `columns` are {title, width, className, value(row), show(cell, row), sort(row)}; `value` is what the cell
   * says and what is looked for, `show` draws it where that is more than a text.
   */
  constructor({ label, empty, columns, key, open, light, reset = () => {} }) {
    Object.assign(this, { columns, key, open, light, empty, reset });
    this.rows = [];
    this.hidden = 0;
    this.wanted = "";
    this.order = null;
    this.pending = [];
    this.entries = new Map();
    this.body = el("tbody");
    this.heads = columns.map((column, index) => this.head(column, index));
    this.node = el("table", { "aria-label": label, class: "rows" },
      el("colgroup", {}, ...columns.map((column) => el("col", { class: `${column.className ?? ""} ${column.width ?? ""}` }))),
      el("thead", {}, el("tr", {}, ...this.heads)), this.body);
    this.nothing = el("p", { class: "nothing", text: empty, hidden: true });
    this.count = el("span", { class: "count", role: "status" });
    this.more = el("p", { class: "more", hidden: true });
    this.body.addEventListener("keydown", (event) => this.keydown(event));
    this.body.addEventListener("click", (event) => this.click(event));
    this.body.addEventListener("focusin", (event) => this.focused(event));
  }

  head(column, index) {
    const button = column.sort && el("button", { type: "button", class: "sort", text: column.title, on: { click: () => this.sortBy(index) } });
    const cell = el("th", { scope: "col", class: column.className ?? "" }, button ?? document.createTextNode(column.title));
    return cell;
  }

  /** Once upwards, once downwards, then as the node has it. */
  sortBy(index) {
    const [before, way] = this.order ?? [];
    this.order = before !== index ? [index, -1] : way === -1 ? [index, 1] : null;
    this.heads.forEach((cell, place) => {
      const here = this.order?.[0] === place;
      attribute(cell, "aria-sort", here ? (this.order[1] === 1 ? "ascending" : "descending") : null);
    });
    this.show(this.rows);
  }

  filter(wanted) {
    this.wanted = wanted.trim().toLowerCase();
    this.show(this.rows);
  }

  /** `more` of them are there, and the node does not list them: of very many it has the first ones. */
  show(rows, more = this.hidden) {
    this.rows = rows;
    this.hidden = more;
    let shown = this.wanted ? rows.filter((row) => this.says(row).includes(this.wanted)) : rows;
    if (this.order) {
      const { sort } = this.columns[this.order[0]];
      const way = this.order[1];
      const keys = new Map(shown.map((row) => [row, sort(row)]));
      shown = [...shown].sort((a, b) => compare(keys.get(a), keys.get(b)) * way);
    }
    this.pending = [];
    keyed(this.body, shown, this.key, (row) => this.make(row), (entry, row) => {
      entry.row = row;
      this.pending.push(entry);
    });
    this.nothing.hidden = shown.length > 0;
    this.node.hidden = !shown.length;
    text(this.nothing, rows.length ? "nothing here has this in it" : this.empty);
    text(this.count, this.wanted ? `${shown.length} of ${rows.length}` : String(rows.length));
    this.more.hidden = !more;
    text(this.more, `and ${whole(more)} more, which are not shown`);
    if (!this.body.querySelector('tr[tabindex="0"]')) this.body.firstElementChild?.setAttribute("tabindex", "0");
    this.slice();
  }

  says(row) {
    return this.columns.map((column) => column.value(row)).join(" ").toLowerCase();
  }

  make(row) {
    const cells = this.columns.map((column) => el("td", { class: column.className ?? "" }));
    const node = el("tr", { tabindex: "-1" }, ...cells);
    const entry = { node, cells, row };
    node.entry = entry;
    this.write(entry);
    return entry;
  }

  write({ node, cells, row }) {
    this.columns.forEach((column, index) => (column.show ? column.show(cells[index], row) : text(cells[index], column.value(row))));
    if (this.light) attribute(node, "data-light", this.light(row));
  }

  /** As many rows as a frame has time for; the others in the next. */
  slice() {
    cancelAnimationFrame(this.frame);
    const until = performance.now() + SLICE;
    let done = 0;
    for (; done < this.pending.length && (done % 8 || performance.now() < until); done++) this.write(this.pending[done]);
    this.pending.splice(0, done);
    if (this.pending.length) this.frame = requestAnimationFrame(() => this.slice());
  }

  // --- hands

  rowOf(target) {
    return target.closest?.("tr")?.entry;
  }

  click(event) {
    const entry = this.rowOf(event.target);
    if (entry && !event.target.closest("a, button") && !String(getSelection())) this.open?.(entry.row);
  }

  focused(event) {
    const entry = this.rowOf(event.target);
    if (!entry) return;
    for (const row of this.body.querySelectorAll('tr[tabindex="0"]')) row.setAttribute("tabindex", "-1");
    entry.node.setAttribute("tabindex", "0");
  }

  keydown(event) {
    const entry = this.rowOf(event.target);
    if (!entry || event.altKey || event.ctrlKey || event.metaKey) return;
    const { node } = entry;
    const places = {
      ArrowDown: node.nextElementSibling,
      ArrowUp: node.previousElementSibling,
      Home: this.body.firstElementChild,
      End: this.body.lastElementChild,
    };
    if (event.key in places) {
      places[event.key]?.focus();
      event.preventDefault();
    } else if (event.key === "Enter" && event.target === node) {
      this.open?.(entry.row);
      event.preventDefault();
    }
  }
}

function compare(a, b) {
  if (typeof a === "number") return (a === a ? a : -1) - (b === b ? b : -1);
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
