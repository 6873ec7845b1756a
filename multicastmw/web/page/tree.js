// The tree: this node, its links with the streams that run along them, and the nodes behind each.
//
// Links are lanes in the document's flow; one drawing lies behind them.  Its curves are laid only when a lane
// moved, and otherwise only the strands' colours and paces change.

import { attribute, byId, el, keyed, svg, text } from "./dom.js";
import { amount, bitrate, milliseconds, percent, plain, plural } from "./format.js";
import { called } from "./settings.js";

const STRANDS_MOST = 6; // drawn a link; the rest is in its list
const KEYS_MOST = 4; // streams that a lane names
const BEHIND_MOST = 400; // nodes that a lane shows
const APART = 4; // px between strands
const PHONE = 720; // px; below it the links run down on the left
const MOVING_MOST = 40; // strands; of more none moves, as it costs each picture, and says nothing any more

const MARKS = { good: "●", warn: "▲", bad: "■", off: "○" };

/** A light that is a shape and a word, too. */
export function showLight(node, [level, word]) {
  attribute(node, "data-light", level);
  attribute(node, "title", plain(word));
  attribute(node, "aria-label", plain(word));
  text(node, MARKS[level]);
}

export const light = () => el("span", { class: "light", role: "img" });

export class Tree {
  constructor(select) {
    this.select = select;
    this.host = byId("tree");
    this.drawing = svg("svg", { class: "links", "aria-hidden": "true" });
    this.rootName = el("b", { class: "name" });
    this.rootLight = light();
    this.rootFacts = el("span", { class: "facts" });
    this.rootFigures = el("span", { class: "facts figure" });
    this.root = el("button", { class: "card root", type: "button", tabindex: "0", on: { click: () => select("node", this.name) } },
      el("span", { class: "top" }, this.rootLight, this.rootName), this.rootFacts, this.rootFigures);
    this.lanes = el("ol", { class: "lanes" });
    this.nobody = el("p", { class: "nothing", text: "no peers: [peer:NAME] in node.ini names whom to dial", hidden: true });
    this.host.append(this.drawing, el("div", { class: "rootplace" }, this.root), this.lanes, this.nobody);
    this.size = new ResizeObserver(() => this.lay());
    this.size.observe(this.host);
    this.size.observe(this.lanes);
    this.host.addEventListener("keydown", (event) => this.keydown(event));
    this.host.addEventListener("focusin", (event) => this.focused(event.target));
    this.entries = [];
    this.order = "";
  }

  show(model) {
    const { document: doc } = model;
    this.name = doc.node.name;
    text(this.rootName, called("node", this.name));
    showLight(this.rootLight, doc.tap.state === "up" ? ["good", "ready"] : ["bad", doc.tap.state]);
    const asks = doc.querier.state === "querier" ? "" : ` ${doc.querier.state}`;
    text(this.rootFacts, `${doc.tap.device} ${doc.tap.address ?? ""} · IGMPv${doc.querier.version}${asks}`);
    text(this.rootFigures, `in ${bitrate(model.in)} · out ${bitrate(model.out)}`);
    const before = this.order;
    this.order = model.list.map((link) => link.key).join("\n");
    this.entries = [];
    keyed(this.lanes, model.list, (link) => link.key, (link) => this.makeLane(link), (entry, link) => {
      this.entries.push(entry);
      this.showLane(entry, link, model);
    });
    this.nobody.hidden = model.list.length > 0;
    text(this.nobody, doc.mesh ? "no neighbour yet: the events say what was tried" : "no peers: [peer:NAME] in node.ini names whom to dial");
    const moving = this.entries.reduce((total, entry) => total + Math.min(entry.link.strands.length, STRANDS_MOST), 0);
    attribute(this.drawing, "data-still", moving > MOVING_MOST);
    if (before !== this.order) this.lay();
    this.entries.forEach((entry) => this.colour(entry));
  }

  // --- a lane

  makeLane(link) {
    const entry = {
      link, light: light(), name: el("b", { class: "name" }), state: el("span", { class: "state" }), way: el("span", { class: "badge way" }),
      fast: el("span", { class: "badge fast", text: "kernel" }), in: el("span", { class: "figure" }), out: el("span", { class: "figure" }),
      rtt: el("span", { class: "figure" }), jitter: el("span", { class: "figure" }), queue: el("span", { class: "figure" }), lost: el("span", { class: "figure lost" }), keys: el("ul", { class: "streamkeys" }),
      behind: el("ul", { class: "behind", "aria-label": "nodes behind it" }), paths: [], shape: "",
    };
    entry.card = el("button", { class: "card peer", type: "button", tabindex: "-1", on: { click: () => this.select("link", link.key) } },
      el("span", { class: "top" }, entry.light, entry.name, entry.way, entry.fast), entry.state,
      el("span", { class: "figures" },
        el("span", { title: "to it" }, el("i", { text: "out" }), entry.out), el("span", { title: "from it" }, el("i", { text: "in" }), entry.in),
        el("span", { title: "round trip" }, el("i", { text: "RTT" }), entry.rtt), el("span", { title: "probes of the last minute that nobody answered" }, el("i", { text: "loss" }), entry.lost),
        el("span", { title: "how much one round trip differs from the next" }, el("i", { text: "jitter" }), entry.jitter), el("span", { title: "packets that wait for it here" }, el("i", { text: "queue" }), entry.queue)));
    entry.node = el("li", { class: "lane" }, entry.card, el("div", { class: "beside" }, entry.keys, entry.behind));
    entry.group = svg("g");
    entry.base = svg("path", { class: "base" });
    entry.group.append(entry.base);
    this.drawing.append(entry.group);
    return entry;
  }

  showLane(entry, link, model) {
    const { peer } = link;
    entry.link = link;
    const up = peer.state === "up";
    text(entry.name, called("node", peer.name));
    showLight(entry.light, link.light);
    attribute(entry.node, "data-light", link.light[0]);
    attribute(entry.node, "data-state", peer.state);
    text(entry.way, up ? (peer.data ?? "").toUpperCase() : peer.state);
    entry.fast.hidden = !peer.fast;
    text(entry.state, up ? `${peer.address ?? ""}${peer.tls ? " · TLS" : ""}` : peer.why || peer.endpoint || "");
    text(entry.out, up ? bitrate(link.out) : "–");
    text(entry.in, up ? bitrate(link.in) : "–");
    text(entry.rtt, up ? milliseconds(peer.rtt) : "–");
    text(entry.lost, up ? percent(peer.loss) : "–");
    text(entry.jitter, up ? milliseconds(peer.jitter) : "–");
    text(entry.queue, up ? amount(peer.queue) : "–");
    attribute(entry.lost, "data-grows", link.isLossy);
    this.showKeys(entry, link, model);
    this.showBehind(entry, peer);
  }

  showKeys(entry, link, model) {
    const shown = link.strands.slice(0, KEYS_MOST);
    if (link.strands.length > KEYS_MOST) shown.push({ more: link.strands.length - KEYS_MOST });
    keyed(entry.keys, shown, (strand) => (strand.more ? "more" : `${strand.way} ${strand.stream.key}`), (strand) => this.makeKey(strand), (key, strand) => {
      if (strand.more) return text(key.name, `+${strand.more} more`);
      attribute(key.node, "class", `streamkey s${strand.stream.colour}`);
      text(key.name, `${strand.way === "out" ? "→" : "←"} ${model.nameOf(strand.stream)}`);
      return text(key.rate, bitrate(strand.stream.bits));
    });
  }

  makeKey(strand) {
    const key = { name: el("span"), rate: el("span", { class: "figure" }) };
    key.node = el("li", { class: "streamkey" }, key.name, strand.more ? null : key.rate);
    return key;
  }

  showBehind(entry, peer) {
    const nodes = peer.nodes.filter((name) => name !== peer.name);
    const shown = nodes.slice(0, BEHIND_MOST).map((name) => ({ name }));
    if (nodes.length > BEHIND_MOST) shown.push({ more: nodes.length - BEHIND_MOST });
    attribute(entry.behind, "data-many", nodes.length > 24);
    attribute(entry.behind, "aria-label", `${plural(nodes.length, "node")} behind ${plain(peer.name)}`);
    keyed(entry.behind, shown, (each) => (each.more ? " more" : each.name), (each) => this.makeChip(each), (chip, each) => {
      text(chip.button, each.more ? `+${each.more}` : called("node", each.name));
      if (!each.more) attribute(chip.button, "title", plain(each.name));
    });
  }

  makeChip(each) {
    const button = el("button", { class: "chip", type: "button", tabindex: "-1", on: { click: () => each.name && this.select("node", each.name) } });
    return { button, node: el("li", {}, button) };
  }

  // --- the drawing

  /** Measures where the lanes are, and lays the links: only when something moved. */
  lay() {
    let frame = this.host.getBoundingClientRect();
    if (!frame.width) return;
    const down = frame.width < PHONE;
    attribute(this.host, "data-down", down);
    attribute(this.host, "data-many", this.entries.length > 8);
    frame = this.host.getBoundingClientRect();
    const root = this.root.getBoundingClientRect();
    attribute(this.drawing, "viewBox", `0 0 ${frame.width} ${frame.height}`);
    const from = down
      ? { x: root.left - frame.left + 14, y: root.bottom - frame.top }
      : { x: root.right - frame.left, y: root.top - frame.top + root.height / 2 };
    const live = new Set(this.entries.map((entry) => entry.group));
    for (const group of [...this.drawing.children]) if (!live.has(group)) group.remove();
    for (const entry of this.entries) {
      const card = entry.card.getBoundingClientRect();
      entry.place = { down, from, to: { x: card.left - frame.left, y: card.top - frame.top + (down ? 22 : card.height / 2) } };
      entry.shape = null; // none is like it, not even that of a link without streams
      this.colour(entry);
    }
  }

  /** The strands of a link: as many as there are streams, each with its colour, way and pace. */
  colour(entry) {
    if (!entry.place) return;
    const strands = entry.link.strands.slice(0, STRANDS_MOST);
    const shape = strands.map(({ stream, way }) => `${stream.key} ${way}`).join();
    if (entry.shape !== shape || !entry.base.hasAttribute("d")) {
      entry.shape = shape;
      attribute(entry.base, "d", curve(entry.place, 0));
      while (entry.paths.length > strands.length) entry.paths.pop().remove();
      while (entry.paths.length < strands.length) entry.group.append(entry.paths[entry.paths.push(svg("path")) - 1]);
      strands.forEach((_, index) => attribute(entry.paths[index], "d", curve(entry.place, (index - (strands.length - 1) / 2) * APART)));
    }
    attribute(entry.group, "class", `link ${entry.link.light[0]} ${entry.link.peer.data ?? ""} ${entry.link.peer.fast ? "kernel" : ""}`);
    strands.forEach(({ stream, way }, index) => attribute(entry.paths[index], "class", `strand ${way} s${stream.colour} ${pace(stream.bits)}`));
  }

  // --- keys: up and down between links, right and left between a link and the nodes behind it

  keydown(event) {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const here = event.target.closest("button");
    const lane = here?.closest(".lane");
    const chip = here?.classList.contains("chip");
    const cards = [this.root, ...this.lanes.querySelectorAll(":scope > li > .card")];
    const place = cards.indexOf(chip ? lane.querySelector(".card") : here);
    const chips = lane ? [...lane.querySelectorAll(".chip")] : [];
    const at = chips.indexOf(here);
    const next = {
      ArrowDown: () => cards[place + 1],
      ArrowUp: () => cards[place - 1],
      ArrowRight: () => (here === this.root ? cards[1] : chips[at + 1]),
      ArrowLeft: () => (chip ? (chips[at - 1] ?? cards[place]) : this.root),
      Home: () => this.root,
      End: () => cards.at(-1),
    }[event.key]?.();
    if (!next) return;
    next.focus();
    event.preventDefault();
  }

  focused(target) {
    const button = target.closest("button");
    if (!button) return;
    for (const other of this.host.querySelectorAll('button[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    button.setAttribute("tabindex", "0");
  }

  /** Something of the tree can always be reached by Tab. */
  rescue() {
    if (!this.host.querySelector('button[tabindex="0"]')) this.root.setAttribute("tabindex", "0");
  }
}

/** A link beside: an S between two heights; a link below: down, round a corner, and right. */
function curve({ down, from, to }, aside) {
  if (down) {
    const x = from.x + aside;
    const y = to.y + aside;
    const round = 8;
    return `M${r(x)} ${r(from.y)}V${r(y - round)}Q${r(x)} ${r(y)} ${r(x + round)} ${r(y)}H${r(to.x)}`;
  }
  const middle = (from.x + to.x) / 2;
  return `M${r(from.x)} ${r(from.y + aside)}C${r(middle)} ${r(from.y + aside)} ${r(middle)} ${r(to.y + aside)} ${r(to.x)} ${r(to.y + aside)}`;
}

const r = (value) => Math.round(value * 10) / 10;

/** Faster streams run faster, in few steps, so that a path seldom changes. */
const pace = (bits) => (bits > 5e6 ? "quick" : bits > 5e5 ? "brisk" : "slow");
