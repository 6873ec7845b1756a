// The way of one stream of the mesh: from its origin over other nodes to this one, and on to its children.  Who could
// be the parent instead stands beside the parent.
//
//     origin ── node ── parent ──┐
//     origin ── second parent ───┤   where there are two feeds
//                       backup ┄┄┴─ this node ──┬── child
//                                               └── child
//
// Cards are in the document's flow, in the order of the way; one drawing lies behind them, and is laid when they move.

import { attribute, el, keyed, svg, text } from "./dom.js";
import { bitrate, milliseconds, percent, plain, plural, whole } from "./format.js";
import { called } from "./settings.js";

const CHILDREN_MOST = 40; // shown; the rest is counted
const MOVING_MOST = 40; // strands; of more none moves
const CARD_LEAST = 150; // px
const CARD_MOST = 240;
const APART = 39; // px from a card to the next
const ROOT = 14; // px from a card's left edge, where lines go down

const round = (value) => Math.round(value * 10) / 10;

/** RTT ± jitter, loss, what waits: what is measured of a link, in a line. */
export function measured(link) {
  if (!link) return "";
  const { rtt, jitter, loss, queue } = link.peer;
  const parts = [rtt == null ? "" : `${milliseconds(rtt)}${jitter == null ? "" : ` ±${milliseconds(jitter)}`}`];
  if (loss != null) parts.push(`${percent(loss)} lost`);
  if (queue) parts.push(`${whole(queue)} wait`);
  return parts.filter(Boolean).join(" · ");
}

export class Way {
  constructor(select) {
    this.select = select;
    this.drawing = svg("svg", { class: "links", "aria-hidden": "true" });
    this.hops = el("ol", { class: "hops", "aria-label": "from its origin to the parent of this node" });
    this.second = el("ol", { class: "hops", "aria-label": "the way of the second feed" });
    this.backups = el("ul", { class: "backups", "aria-label": "who could be the parent instead" });
    this.place = el("div", { class: "hereplace" });
    this.children = el("ul", { class: "children", "aria-label": "who has it from this node" });
    this.here = this.make();
    this.place.append(this.here.card);
    this.node = el("div", { class: "streamway", role: "group" }, this.drawing, el("div", { class: "upstream" }, this.hops, this.second, this.backups), this.place, this.children);
    this.node.addEventListener("keydown", (event) => this.keydown(event));
    this.node.addEventListener("focusin", (event) => this.focused(event.target));
    new ResizeObserver(() => this.lay()).observe(this.node);
    this.entries = [];
    this.paths = new Map();
  }

  /** `stream` is one of the snapshot's mesh.streams; `colour` a number of a strand's. */
  show(model, stream, colour) {
    const own = model.document.node.name;
    const hops = hopsOf(stream, own);
    const second = secondOf(stream);
    const children = stream.children.slice(0, CHILDREN_MOST).map((name) => ({ name, says: "child" }));
    const more = stream.children.length - children.length;
    if (more) children.push({ name: `+${whole(more)} more`, isMore: true, says: "" });
    const backups = stream.backups.map((name) => ({ name, says: "backup", isBackup: true }));
    if (stream.joining && stream.joining !== stream.parent) backups.unshift({ name: stream.joining, says: "asked", isBackup: true, key: " joining" });
    attribute(this.node, "aria-label", `the way of ${model.nameOfGroup(stream.group)} from ${plain(stream.node)}`);
    const lists = [[this.hops, hops], [this.second, second], [this.backups, backups], [this.children, children]];
    const [shownHops, shownSecond, shownBackups, shownChildren] = lists.map(([list, items]) => this.list(list, items, model));
    this.fill(this.here, { name: own, says: stream.begins_here ? "it begins here" : "this node" }, model);
    const isOneWay = stream.feeds > 1 && stream.parent && !stream.second;
    text(this.here.facts, stream.begins_here ? plural(stream.children.length, "child", "children") : `${plural(Math.max(1, hops.length), "link")} from the origin${isOneWay ? ", by one way" : ""}`);
    text(this.here.figures, stream.begins_here ? bitrate(stream.rate) : `${bitrate(stream.rate)} · ${milliseconds(stream.delay || null)}`);
    this.lines = [
      ...linesOf([...shownHops, this.here], "hop"),
      ...(shownSecond.length ? linesOf([...shownSecond, this.here], "second") : []),
      ...shownBackups.map((from) => ({ from, to: this.here, key: `backup ${from.item.name}`, isBackup: true })),
      ...shownChildren.map((to) => ({ from: this.here, to, key: `child ${to.item.name}` })),
    ];
    const count = Math.max(hops.length, second.length) + 1 + (children.length ? 1 : 0);
    const moving = stream.rate > 0 && this.lines.length <= MOVING_MOST;
    attribute(this.drawing, "data-still", !moving);
    const shape = [count, ...this.lines.map((line) => line.key)].join("\n");
    this.colours = `s${colour}`;
    this.count = count;
    if (shape !== this.shape) {
      this.shape = shape;
      this.lay();
    }
    this.rescue();
  }

  list(parent, items, model) {
    const shown = [];
    keyed(parent, items, (item) => item.key ?? `${item.name}`, () => this.make("li"), (entry, item) => {
      this.fill(entry, item, model);
      shown.push(entry);
    });
    return shown;
  }

  make(tag = null) {
    const entry = { name: el("b", { class: "name" }), says: el("span", { class: "badge" }), facts: el("span", { class: "facts" }), figures: el("span", { class: "facts figure" }) };
    entry.card = el("button", { class: "card", type: "button", tabindex: "-1", on: { click: () => this.open(entry.item) } },
      el("span", { class: "top" }, entry.name, entry.says), entry.facts, entry.figures);
    entry.node = tag ? el(tag, {}, entry.card) : entry.card;
    return entry;
  }

  fill(entry, item, model) {
    const link = model.linkNamed(item.name);
    entry.item = { ...item, link };
    text(entry.name, item.isMore || item.isGap ? item.name : called("node", item.name));
    attribute(entry.name, "title", plain(item.name));
    text(entry.says, item.says);
    entry.says.hidden = !item.says;
    text(entry.facts, measured(link));
    text(entry.figures, link ? `in ${bitrate(link.in)} · out ${bitrate(link.out)}` : "");
    attribute(entry.card, "class", `card${entry === this.here ? " root" : ""}${item.isBackup ? " backup" : ""}`);
    attribute(entry.card, "data-light", link ? link.light[0] : null);
    attribute(entry.card, "disabled", item.isMore || item.isGap);
  }

  open({ name, link }) {
    if (link) this.select("link", link.key);
    else this.select("node", name);
  }

  // --- the drawing

  /** Measures where the cards are, and lays the lines: only when something moved. */
  lay() {
    if (!this.lines || !this.node.clientWidth) return;
    const room = Math.floor((this.node.clientWidth + APART) / this.count) - APART;
    const down = room < CARD_LEAST;
    attribute(this.node, "data-down", down);
    this.node.style.setProperty("--card", `${Math.min(CARD_MOST, down ? CARD_MOST : room)}px`);
    const frame = this.node.getBoundingClientRect();
    attribute(this.drawing, "viewBox", `0 0 ${frame.width} ${frame.height}`);
    const placeOf = ({ card }) => {
      const box = card.getBoundingClientRect();
      return { left: box.left - frame.left, right: box.right - frame.left, top: box.top - frame.top, bottom: box.bottom - frame.top, middle: box.top - frame.top + box.height / 2 };
    };
    const live = new Set(this.lines.map((line) => line.key));
    for (const [key, path] of this.paths) {
      if (live.has(key)) continue;
      path.remove();
      this.paths.delete(key);
    }
    for (const line of this.lines) {
      if (!this.paths.has(line.key)) this.paths.set(line.key, this.drawing.appendChild(svg("path")));
      const path = this.paths.get(line.key);
      attribute(path, "d", (down ? downwards : sideways)(placeOf(line.from), placeOf(line.to)));
      attribute(path, "class", line.isBackup || line.breaks ? "spare" : `strand out brisk ${this.colours}`);
    }
  }

  // --- keys: along the way

  keydown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const cards = [...this.node.querySelectorAll(".card:not([disabled])")];
    const at = cards.indexOf(event.target.closest("button"));
    const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: cards.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    cards[to]?.focus();
    event.preventDefault();
  }

  focused(target) {
    const card = target.closest(".card");
    if (!card) return;
    for (const other of this.node.querySelectorAll('[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    card.setAttribute("tabindex", "0");
  }

  /** Something of it can always be reached by Tab. */
  rescue() {
    if (!this.node.querySelector('[tabindex="0"]:not([disabled])')) this.here.card.setAttribute("tabindex", "0");
  }
}

/** The nodes before this one, with what each is; where the way is not known, its ends. */
function hopsOf(stream, own) {
  if (stream.begins_here) return [];
  const names = stream.path.length ? stream.path.slice(0, -1) : [...new Set([stream.node, stream.parent ?? stream.node])];
  const hops = names.map((name, place) => {
    const roles = [place ? "" : "origin", name === stream.parent && place === names.length - 1 ? "parent" : ""];
    return { name, key: `${place} ${name}`, says: roles.filter(Boolean).join(", ") };
  });
  if (!stream.path.length && (hops.length > 1 || !stream.parent)) hops.splice(1, 0, { name: stream.parent ? "not known yet" : "no parent yet", key: " gap", says: "", isGap: true });
  return hops.filter((hop) => hop.name !== own);
}

/** The same of the second feed; empty without one. */
function secondOf(stream) {
  if (!stream.second) return [];
  const names = stream.second_path.length ? stream.second_path.slice(0, -1) : [stream.second];
  return names.map((name, place) => {
    const roles = [place || names.length === 1 ? "" : "origin", name === stream.second && place === names.length - 1 ? "second parent" : ""];
    return { name, key: `second ${place} ${name}`, says: roles.filter(Boolean).join(", ") };
  });
}

/** From each to the next one. */
function linesOf(entries, kind) {
  return entries.slice(1).map((to, index) => ({ from: entries[index], to, key: `${kind} ${index}`, breaks: entries[index].item.isGap || to.item.isGap }));
}

function sideways(from, to) {
  const middle = (from.right + to.left) / 2;
  return `M${round(from.right)} ${round(from.middle)}C${round(middle)} ${round(from.middle)} ${round(middle)} ${round(to.middle)} ${round(to.left)} ${round(to.middle)}`;
}

/** Straight down between cards one below the other; round a corner between those that are not. */
function downwards(from, to) {
  const x = round(Math.min(from.left, to.left) + ROOT);
  if (Math.abs(from.left - to.left) < 2) return `M${x} ${round(from.bottom)}V${round(to.top)}`;
  if (from.left < to.left) return `M${x} ${round(from.bottom)}V${round(to.middle - 8)}Q${x} ${round(to.middle)} ${x + 8} ${round(to.middle)}H${round(to.left)}`;
  const aside = x + ROOT; // a backup, beside the way
  return `M${round(from.left)} ${round(from.middle)}H${aside + 8}Q${aside} ${round(from.middle)} ${aside} ${round(from.middle + 8)}V${round(to.top)}`;
}
