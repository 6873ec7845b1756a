// The page: wires the connection, the figures and what is seen of them.  Only what is in sight is drawn.

import { attention } from "./attention.js";
import { Chart } from "./chart.js";
import { attribute, byId, el, keyed, text } from "./dom.js";
import { Feed } from "./feed.js";
import { amount, bitrate, clock, plain, plural, span } from "./format.js";
import { Inspector } from "./inspector.js";
import { shortcuts, tabs } from "./keys.js";
import { meshView } from "./mesh.js";
import { Model } from "./model.js";
import { Preview } from "./preview.js";
import { applyTheme, called, nextTheme, theme } from "./settings.js";
import { Tree, light, showLight } from "./tree.js";
import { Events, groupsView, nodesView, sessionsView, streamsView } from "./views.js";

const BESIDE = 8; // streams and events beside the tree

applyTheme();

const model = new Model();
const select = (kind, id) => inspector.open(kind, id);
const preview = new Preview();
const play = (session) => preview.open(session);
const feed = new Feed("live", {
  status: (document, at) => {
    model.take(document, at);
    show();
  },
  tick: (at) => model.document && again(at),
  happened: (event, id) => {
    events.add(event, id);
    planEvents();
  },
  state: showConnection,
});
const events = new Events(feed);
const inspector = new Inspector(model, () => show(), play);
const tree = new Tree(select);
const totals = new Chart("all traffic here", [{ name: "in", title: "in", colour: "--line-2", className: "two" }, { name: "out", title: "out", colour: "--line-1" }], bitrate, 72);
byId("totals").append(totals.node);

const views = {
  tree: showOverview,
  sessions: sessionsView(model, select, play),
  streams: streamsView(model, select),
  groups: groupsView(model, select),
  nodes: nodesView(model, select),
  events: () => events.show(),
  mesh: meshView(model, select),
};
let current = "tree";
const { open, byNumber } = tabs((name) => {
  current = name;
  if (model.document) views[name]();
});

// --- what is always in sight

function show() {
  if (!model.document) return;
  showHead();
  showAttention();
  views[current]();
  inspector.show();
}

function showHead() {
  const { node, peers, nodes, groups, mesh } = model.document;
  const name = called("node", node.name);
  text(byId("node-name"), name);
  attribute(byId("node-name"), "title", plain(node.name));
  const up = peers.filter((peer) => peer.state === "up").length;
  figure("f-links", `${up}/${peers.length}`, up < peers.filter((peer) => peer.state !== "standby").length ? "bad" : null);
  figure("f-nodes", amount(nodes.length + membersOf(mesh)));
  figure("f-streams", amount(model.flowing.length));
  figure("f-groups", amount(model.groupsWanted));
  figure("f-in", bitrate(model.in));
  figure("f-out", bitrate(model.out));
  counts({
    sessions: model.sessions.length + model.notShown("sessions"), streams: model.streams.size + model.notShown("routes"),
    groups: groups.length + model.notShown("groups"), nodes: peers.length, events: events.all.length, mesh: mesh?.neighbours.length ?? 0,
  });
  byId("tab-mesh").hidden = !mesh;
  if (!mesh && current === "mesh") open("tree");
  document.title = `${worst === "bad" ? "■ " : ""}${plain(name)} · Multicast Middleware`;
}

/** Nodes that this one knows of in the mesh; there may be more. */
const membersOf = (mesh) => (mesh?.everybody ? mesh.everybody.known + mesh.everybody.neighbours.length : 0);

function figure(id, value, level = null) {
  text(byId(id), value);
  attribute(byId(id), "data-light", level);
}

function counts(numbers) {
  for (const [name, number] of Object.entries(numbers)) text(byId(`n-${name}`), amount(number));
}

let worst = null;

function showAttention() {
  const found = attention(model);
  worst = found[0]?.level ?? null;
  attribute(byId("attention"), "data-worst", worst);
  const serious = found.filter((item) => item.level !== "note").length;
  text(byId("attention-count"), found.length ? `${plural(serious, "thing")} to mend, ${plural(found.length - serious, "note")}` : "all is well: nothing waits, nothing is lost");
  keyed(byId("attention-list"), found, (item) => item.key, makeItem, (entry, item) => {
    entry.item = item;
    showLight(entry.light, [item.level === "note" ? "off" : item.level, item.level === "bad" ? "wrong" : item.level === "warn" ? "warning" : "note"]);
    attribute(entry.node, "data-light", item.level);
    text(entry.what, item.what);
    text(entry.why, item.why);
    entry.go.hidden = !item.go;
  });
}

function makeItem() {
  const entry = { light: light(), what: el("b"), why: el("span", { class: "why" }) };
  entry.go = el("button", { type: "button", class: "go", text: "show", on: { click: () => goTo(entry.item.go) } });
  entry.node = el("li", {}, entry.light, el("span", { class: "said" }, entry.what, document.createTextNode(" "), entry.why), entry.go);
  return entry;
}

function goTo({ tab, kind, id }) {
  open(tab, true);
  if (kind) select(kind, id);
}

// --- the tree and what stands beside it

function showOverview() {
  tree.show(model);
  tree.rescue();
  totals.draw(model.total, model.at);
  const most = model.flowing.sort((a, b) => a.key.localeCompare(b.key, "en", { numeric: true }));
  keyed(byId("now-streams"), most.slice(0, BESIDE), (stream) => stream.key, makeStream, (entry, stream) => {
    showLight(entry.light, stream.light);
    attribute(entry.node.firstElementChild, "class", `nowstream s${stream.colour}`);
    text(entry.name, model.nameOf(stream));
    text(entry.rate, bitrate(stream.bits));
  });
  text(byId("now-more"), most.length > BESIDE ? `and ${amount(most.length - BESIDE)} more` : most.length ? "" : "no stream flows");
  events.showFew(byId("now-events"), BESIDE);
}

function makeStream(stream) {
  const entry = { light: light(), name: el("span", { class: "name" }), rate: el("span", { class: "figure" }) };
  const button = el("button", { type: "button", on: { click: () => select("stream", stream.key) } }, entry.light, el("span", { class: "swatch", "aria-hidden": "true" }), entry.name, entry.rate);
  entry.node = el("li", {}, button);
  return entry;
}

let planned = false;

/** Many events that come at once are drawn once. */
function planEvents() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    if (current === "events") events.show();
    if (current === "tree") events.showFew(byId("now-events"), BESIDE);
    counts({ events: events.all.length });
  });
}

// --- time and connection

/** Nothing changed: rates are nothing, and ages go on. */
function again(at) {
  model.take(model.document, at);
  show();
}

let connection = "connecting";

function showConnection(state) {
  if (connection === state) return;
  connection = state;
  attribute(byId("connection"), "data-state", state);
  text(byId("connection-word"), state === "live" ? "live" : "connection lost");
  byId("lost").hidden = state === "live";
  document.body.dataset.connection = state;
  if (state === "lost") lostAt = performance.now();
}

let lostAt = performance.now();

setInterval(() => {
  const now = new Date();
  text(byId("clock"), clock(now));
  if (connection !== "live") {
    text(byId("lost-words"), `No connection with the node for ${span((performance.now() - lostAt) / 1000)}. What is shown is as of then; it is tried again by itself.`);
  }
  if (!model.document) return;
  text(byId("uptime"), span(feed.now - model.document.node.uptime));
}, 1000);

// --- hands

function showTheme(name) {
  text(byId("theme"), { auto: "◐ auto", dark: "● dark", light: "○ light" }[name]);
  attribute(byId("theme"), "aria-label", `colours: ${name}`);
  if (model.document) show();
}

byId("theme").addEventListener("click", () => showTheme(nextTheme()));
byId("help-open").addEventListener("click", () => byId("help").showModal());
byId("help-close").addEventListener("click", () => byId("help").close());
showTheme(theme());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => showTheme(theme()));
shortcuts(
  {
    "?": () => byId("help").showModal(),
    t: () => showTheme(nextTheme()),
    "/": () => byId(`panel-${current}`).querySelector(".search")?.focus(),
    a: () => byId("attention-list").querySelector("button:not([hidden])")?.focus(),
    Escape: (event) => {
      if (event.target.matches?.(".search")) event.target.blur();
      else inspector.close();
    },
  },
  byNumber,
);
addEventListener("pagehide", () => feed.source?.close());
addEventListener("pageshow", (event) => event.persisted && feed.open());

open("tree");
feed.open();
