// The tables: streams, sessions, groups, links and nodes, events.

import { attribute, byId, el, keyed, text } from "./dom.js";
import { amount, bitrate, clock, milliseconds, overHttp, packetrate, percent, plain, some, span, whole } from "./format.js";
import { called } from "./settings.js";
import { Spark } from "./chart.js";
import { Table } from "./table.js";
import { light, showLight } from "./tree.js";

const EVENTS_KEPT = 200;
export const right = "number";
const OF_NODES = new Set(["sessions", "probing"]); // what nodes want for themselves: SAP's groups, and that by which they ask each other

/** A name, and below it what it is really called. */
export function showName(cell, name, real) {
  if (!cell.first) {
    cell.first = el("b", { class: "name" });
    cell.second = el("span", { class: "real" });
    cell.append(cell.first, " ", cell.second);
  }
  text(cell.first, name);
  text(cell.second, name === real ? "" : real);
}

export function showLightCell(cell, found) {
  cell.light ??= cell.appendChild(light());
  showLight(cell.light, found);
}

/** Puts a table with its search field and count into a panel. */
export function furnish(panel, table, label, ...beside) {
  const search = el("input", { type: "search", class: "search", placeholder: "find", "aria-label": `find in ${label}`, maxlength: 100, on: { input: () => table.filter(search.value) } });
  byId(panel).append(el("div", { class: "tools" }, search, table.count, ...beside), table.node, table.nothing, table.more);
}

export function streamsView(model, select) {
  const table = new Table({
    label: "streams", empty: "no packet has come yet", key: (stream) => stream.key, open: (stream) => select("stream", stream.key), light: (stream) => stream.light[0],
    columns: [
      { title: "", width: "w-light", value: (stream) => stream.light[1], show: (cell, stream) => showLightCell(cell, stream.light) },
      { title: "stream", value: (stream) => `${model.nameOf(stream)} ${stream.group}`, sort: (stream) => model.nameOf(stream), show: (cell, stream) => showName(cell, model.nameOf(stream), stream.group) },
      { title: "source", className: "wide mono", width: "w-address", value: (stream) => stream.source, sort: (stream) => stream.source },
      { title: "from", className: "wide", width: "w-name", value: (stream) => (stream.route.sent_from_here !== null ? "here" : stream.origins.map((name) => called("node", name)).join(" ")), sort: (stream) => stream.origins.join() },
      { title: "last 5 min", className: "wider", width: "w-spark", value: () => "", show: showSpark },
      { title: "rate", className: right, width: "w-rate", value: (stream) => bitrate(stream.bits), sort: (stream) => stream.bits },
      { title: "packets", className: `${right} wider`, width: "w-count", value: (stream) => packetrate(stream.rate), sort: (stream) => stream.rate },
      { title: "lost", className: right, width: "w-count", value: (stream) => amount(stream.lostCount), sort: (stream) => stream.lostCount },
      { title: "TTL", className: `${right} wide`, width: "w-count", value: (stream) => amount(stream.route.died_of_ttl), sort: (stream) => stream.route.died_of_ttl },
      { title: "nobody", className: `${right} wide`, width: "w-count", value: (stream) => amount(stream.route.to_nobody), sort: (stream) => stream.route.to_nobody },
      { title: "by", className: "wider", width: "w-short", value: (stream) => (stream.route.fast ? "kernel" : "Python"), sort: (stream) => String(stream.route.fast) },
      { title: "to", className: "wide", value: (stream) => (stream.route.denied && !stream.route.to.length ? "denied here" : some(stream.route.to.map((name) => called("node", name)))) },
    ],
  });
  furnish("panel-streams", table, "streams");
  return () => table.show(model.list_of_streams, model.notShown("routes"));
}

function showSpark(cell, stream) {
  if (!cell.spark) cell.append((cell.spark = new Spark("bits", "--line-1")).node);
  if (cell.drawn === stream.history.count) return;
  cell.drawn = stream.history.count;
  if (stream.flows || cell.flowed !== false) cell.spark.draw(stream.history);
  cell.flowed = stream.flows;
}

export function groupsView(model, select) {
  const table = new Table({
    label: "groups", empty: "no group is wanted by anybody", key: (group) => `${group.group} ${group.source}`,
    open: (group) => select("group", `${group.group} ${group.source}`), light: (group) => (group.denied ? "warn" : null),
    columns: [
      { title: "group", value: (group) => `${groupName(model, group)} ${group.group}`, sort: (group) => group.group, show: (cell, group) => showName(cell, groupName(model, group), group.group) },
      { title: "source", className: "wide mono", width: "w-address", value: (group) => group.source, sort: (group) => group.source },
      { title: "wanted by", value: (group) => (group.denied ? "denied here" : some(group.wanted_by.map((name) => called("node", name)), 6) || "nobody"), sort: (group) => group.wanted_by.length },
      { title: "hosts here", className: "wide mono", value: (group) => `${some(group.hosts, 3)}${group.hosts_known > group.hosts.length ? ` of ${group.hosts_known}` : ""}`, sort: (group) => group.hosts_known },
      { title: "asked", width: "w-short", value: asked, sort: asked },
      { title: "expires", className: `${right} wide`, width: "w-count", value: (group) => (group.expires_in == null ? "" : `${Math.max(0, Math.round(group.expires_in - model.at))} s`), sort: (group) => group.expires_in ?? 0 },
    ],
  });
  furnish("panel-groups", table, "groups");
  return () => table.show(model.document.groups, model.notShown("groups"));
}

const groupName = (model, { group }) => model.nameOfGroup(group);

/** How a group came to be wanted here. */
export const asked = (group) => (group.denied ? "denied" : group.version ? `IGMPv${group.version}` : group.pinned ? "pin" : group.wanted_by.some((name) => OF_NODES.has(name)) ? "nodes" : "");

export function nodesView(model, select) {
  const links = new Table({
    label: "links", empty: "no peers: [peer:NAME] in node.ini names whom to dial", key: (link) => link.key, open: (link) => select("link", link.key), light: (link) => link.light[0],
    columns: [
      { title: "", width: "w-light", value: (link) => link.light[1], show: (cell, link) => showLightCell(cell, link.light) },
      { title: "link with", value: (link) => `${called("node", link.name)} ${link.name}`, sort: (link) => link.name, show: (cell, link) => showName(cell, called("node", link.name), link.name) },
      { title: "state", width: "w-short", value: (link) => link.peer.state, sort: (link) => link.peer.state },
      { title: "for", className: `${right} wider`, width: "w-rate", value: (link) => span(model.at - link.peer.since), sort: (link) => -link.peer.since },
      { title: "data", className: "wide", width: "w-short", value: (link) => (link.peer.data ?? "").toUpperCase(), sort: (link) => link.peer.data ?? "" },
      { title: "RTT", className: right, width: "w-rate", value: (link) => milliseconds(link.peer.rtt), sort: (link) => link.peer.rtt ?? Infinity },
      { title: "jitter", className: `${right} wider`, width: "w-rate", value: (link) => milliseconds(link.peer.jitter), sort: (link) => link.peer.jitter ?? -1 },
      { title: "loss", className: `${right} wide`, width: "w-count", value: (link) => percent(link.peer.loss), sort: (link) => link.peer.loss ?? -1 },
      { title: "in", className: `${right} wide`, width: "w-rate", value: (link) => bitrate(link.in), sort: (link) => link.in },
      { title: "out", className: `${right} wide`, width: "w-rate", value: (link) => bitrate(link.out), sort: (link) => link.out },
      { title: "queue", className: `${right} wider`, width: "w-count", value: (link) => (link.peer.state === "up" ? amount(link.peer.queue) : ""), sort: (link) => link.peer.queue },
      { title: "no room", className: right, width: "w-count", value: (link) => amount(link.lost), sort: (link) => link.lost },
      { title: "wants", className: `${right} wider`, width: "w-count", value: (link) => amount(link.peer.channels), sort: (link) => link.peer.channels },
      { title: "why not, or why slow", className: "wide", value: (link) => link.peer.why || link.peer.why_slow },
    ],
  });
  const nodes = new Table({
    label: "nodes", empty: "no other node is reached", key: (node) => node.id, open: (node) => select("node", node.name ?? node.id),
    columns: [
      { title: "node", value: (node) => `${called("node", node.name ?? node.id)} ${node.name ?? node.id}`, sort: (node) => node.name ?? node.id, show: (cell, node) => showName(cell, called("node", node.name ?? node.id), node.name ?? node.id) },
      { title: "behind", value: (node) => node.via.map((name) => called("node", name)).join(", "), sort: (node) => node.via.join() },
      { title: "id", className: "wide mono", value: (node) => node.id, sort: (node) => node.id },
    ],
  });
  byId("panel-nodes").append(el("h2", { text: "Links" }));
  furnish("panel-nodes", links, "links");
  byId("panel-nodes").append(el("h2", { text: "Nodes that are reached" }));
  furnish("panel-nodes", nodes, "nodes");
  return () => {
    links.show(model.list);
    nodes.show(model.document.nodes);
  };
}

/** What happened, the newest on top. */
export class Events {
  constructor(feed) {
    this.feed = feed;
    this.all = [];
    this.run = "";
    this.known = new Set();
    const table = new Table({
      label: "events", empty: "nothing has happened", key: (event) => event.id, light: (event) => LEVELS[event.level] ?? null,
      columns: [
        { title: "at", className: "mono", width: "w-clock", value: (event) => event.clock },
        { title: "level", className: "wide", width: "w-short", value: (event) => event.level },
        { title: "event", value: (event) => event.text },
      ],
    });
    this.table = table;
    furnish("panel-events", table, "events");
  }

  add(event, id) {
    const run = id.slice(0, id.lastIndexOf("-"));
    if (run !== this.run) {
      this.run = run; // the node was started again, and counts anew
      this.all = [];
      this.known.clear();
    }
    if (this.known.has(id)) return;
    this.known.add(id);
    const date = new Date(Date.now() - (this.feed.now - event.at) * 1000);
    this.all.unshift({ ...event, id, clock: clock(date) });
    for (const old of this.all.splice(EVENTS_KEPT)) this.known.delete(old.id);
    this.isNew = true;
  }

  show() {
    this.table.show(this.all);
  }

  /** The last few, beside the tree. */
  showFew(list, most) {
    keyed(list, this.all.slice(0, most), (event) => event.id, (event) => {
      const node = el("li", { "data-light": LEVELS[event.level] ?? null }, el("time", { class: "figure", text: event.clock }), el("span", { text: event.text }));
      return { node };
    }, () => {});
  }
}

export const LEVELS = { warn: "warn", error: "bad", critical: "bad" };

export function sessionsView(model, select, play) {
  const table = new Table({
    label: "sessions", empty: "no session is announced here (SAP)", key: (session) => session.key, open: (session) => select("session", session.key), light: (session) => streamOf(model, session)?.light[0] ?? null,
    columns: [
      { title: "", width: "w-light", value: (session) => streamOf(model, session)?.light[1] ?? "", show: (cell, session) => showLightCell(cell, streamOf(model, session)?.light ?? ["off", "silent here"]) },
      { title: "", width: "w-play", value: () => "", show: (cell, session) => showPlay(cell, session, model, play) },
      { title: "session", value: (session) => `${session.name} ${session.group}`, sort: (session) => session.name, show: (cell, session) => showName(cell, session.name, session.address) },
      { title: "from", className: "wide", width: "w-name", value: (session) => session.from, sort: (session) => session.from },
      { title: "rate", className: right, width: "w-rate", value: (session) => bitrate(streamOf(model, session)?.bits), sort: (session) => streamOf(model, session)?.bits ?? 0 },
      { title: "listeners", className: `${right} wide`, width: "w-count", value: (session) => whole(listeners(model, session)), sort: (session) => listeners(model, session) },
      { title: "open with a player", className: "wide", width: "w-links", value: () => "", show: showLinks },
    ],
  });
  furnish("panel-sessions", table, "sessions", allOfThem());
  const refused = el("p", { class: "more", id: "sap-refused", hidden: true });
  byId("panel-sessions").append(refused);
  const showWatched = watchedView(model, select);
  return () => {
    table.show(model.sessions, model.notShown("sessions"));
    const counts = Object.entries(SAP).map(([name, what]) => [model.document.counters[`sap_${name}`] ?? 0, what]).filter(([count]) => count);
    refused.hidden = !counts.length;
    text(refused, `Announcements that are not kept: ${counts.map(([count, what]) => `${whole(count)} ${what}`).join(", ")}`);
    showWatched();
  };
}

// Counters of announcements, by what became of them.
const SAP = {
  malformed: "that are none", other_types: "of another type than SDP", encrypted: "encrypted", refused: "above the bound",
  not_read: "too many at once", evicted: "pushed out by others", displaced: "made room", deletions_unknown: "deletions of what is not here",
};

/** All sessions in a file: for players here, and for those that have no multicast. */
function allOfThem() {
  const link = (title, href, says) => el("a", { text: title, href, download: "", title: says });
  return el("span", { class: "links-out all" }, el("span", { text: "all of them:" }),
    link(".m3u", "sessions.m3u", "for a player on this network: multicast"),
    link("over HTTP", "sessions.m3u?via=http", overHttp(location)),
    link(".xspf", "sessions.xspf", "the same in XML"));
}

/** Who watches over HTTP: players without multicast, and previews. */
function watchedView(model, select) {
  const addressOf = (output) => `${output.group}:${output.port}`;
  const nameOf = (output) => (groupName(model, output) === output.group ? addressOf(output) : groupName(model, output));
  const table = new Table({
    label: "watched over HTTP", empty: "nobody watches over HTTP", key: watchedKey, light: (output) => (model.isGrowing(`watched ${watchedKey(output)}`, output.lost) ? "warn" : null),
    open: (output) => select("stream", model.streamOfGroup(output.group)?.key ?? `${output.group} ${output.source}`),
    columns: [
      { title: "stream", value: (output) => `${nameOf(output)} ${addressOf(output)}`, sort: nameOf, show: (cell, output) => showName(cell, nameOf(output), addressOf(output)) },
      { title: "as", width: "w-short", value: (output) => (output.rtp ? "/rtp/" : "/udp/"), sort: (output) => String(output.rtp) },
      { title: "source", className: "wide mono", width: "w-address", value: (output) => output.source, sort: (output) => output.source },
      { title: "players", className: right, width: "w-count", value: (output) => whole(output.clients), sort: (output) => output.clients },
      { title: "at", className: "wide mono", value: (output) => some(output.viewers ?? [], 3), sort: (output) => (output.viewers ?? []).join() },
      { title: "bytes", className: `${right} wide`, width: "w-rate", value: (output) => amount(output.bytes), sort: (output) => output.bytes },
      { title: "lost", className: right, width: "w-count", value: (output) => amount(output.lost), sort: (output) => output.lost },
    ],
  });
  byId("panel-sessions").append(el("h2", { text: "Watched over HTTP" }));
  byId("panel-sessions").append(table.node, table.nothing, table.more);
  table.node.id = "watched";
  return () => table.show(model.document.outputs ?? []);
}

const watchedKey = (output) => `${output.group}:${output.port} ${output.source} ${output.rtp}`;

/** The stream of a session that runs, if it comes through here. */
export const streamOf = (model, session) => model.streamOfGroup(session.group);

/** Hosts here, players over HTTP, and links that want the session's group. */
export function listeners(model, session) {
  let count = model.playersOf(session.group);
  const { tap, peers } = model.document;
  const links = new Set(peers.map((peer) => peer.name));
  for (const group of model.document.groups) {
    if (group.group !== session.group) continue;
    count += group.wanted_by.filter((name) => links.has(name)).length;
    if (group.wanted_by.includes(tap.device)) count += Math.max(1, group.hosts_known);
  }
  return count;
}

function showPlay(cell, session, model, play) {
  cell.session = session;
  cell.button ??= cell.appendChild(el("button", { type: "button", class: "play", text: "▶", on: { click: () => play(cell.session) } }));
  attribute(cell.button, "aria-label", `play ${plain(session.name)}`);
  attribute(cell.button, "disabled", !session.url);
}

function showLinks(cell, session) {
  cell.links ??= cell.appendChild(el("span", { class: "links-out" }));
  showFiles(cell.links, session.files);
}

/** Links to what players open. */
export function showFiles(node, files) {
  keyed(node, files, (file) => file.title, (file) => ({ node: el("a", { text: file.title, title: file.says }) }), (entry, file) => {
    attribute(entry.node, "href", file.href);
    attribute(entry.node, "download", file.name);
  });
}
