// The mesh: the way of each stream through this node, its neighbours with what is measured of them, and its groups.

import { byId, el, text } from "./dom.js";
import { amount, bitrate, milliseconds, percent, plain, plural, some, whole } from "./format.js";
import { called } from "./settings.js";
import { Table } from "./table.js";
import { furnish, right, showLightCell, showName } from "./views.js";
import { Way } from "./way.js";

const SILENT = ["off", "no link"];

export const meshKey = (stream) => `${stream.group} ${stream.source} ${stream.origin}`;

/** What is shown of it, and what chooses the stream whose way is drawn. */
export function meshView(model, select) {
  const facts = el("p", { class: "meshfacts", id: "mesh-facts" });
  const title = el("h2", { id: "way-title" });
  const way = new Way(select);
  const none = el("p", { class: "nothing", text: "no stream passes: a way is drawn here when one does" });
  byId("panel-mesh").append(facts, title, way.node, none);
  let chosen = null;
  const choose = (stream) => {
    chosen = meshKey(stream);
    show();
    byId("panel-mesh").scrollIntoView({ block: "nearest" });
  };
  const tables = [streamsTable(model, choose, (stream) => meshKey(stream) === chosen), neighboursTable(model, select), groupsTable(model), leftAloneTable()];

  function show() {
    const { mesh } = model.document;
    if (!mesh) return;
    const carries = mesh.uplink ? `${whole(mesh.uplink)} kbit/s for others` : "nothing for others";
    text(facts, `${mesh.role} · ${carries} · ${mesh.dialable ? "can be dialled" : "cannot be dialled"} · ${plural(mesh.neighbours.length, "neighbour")} · knows ${plural(mesh.everybody?.known ?? 0, "more node")}`);
    const stream = mesh.streams.find((each) => meshKey(each) === chosen) ?? fastest(mesh.streams);
    chosen = stream && meshKey(stream);
    way.node.hidden = !stream;
    none.hidden = Boolean(stream);
    text(title, stream ? `The way of ${nameOf(model, stream)}` : "The way of a stream");
    if (stream) way.show(model, stream, model.streams.get(`${stream.group} ${stream.source}`)?.colour ?? 0);
    tables[0](mesh.streams, mesh.streams_not_shown ?? 0);
    tables[1](mesh.neighbours);
    tables[2](mesh.groups);
    tables[3](mesh.left_alone ?? [], mesh.left_alone_not_shown ?? 0);
  }
  return show;
}

const fastest = (streams) => streams.reduce((best, each) => (!best || each.rate > best.rate ? each : best), null);

const nameOf = (model, stream) => `${model.nameOfGroup(stream.group)} ${stream.shared ? "shared by" : "from"} ${plain(called("node", stream.node))}`;

/** From whom this node has it. */
const cameFrom = (stream) => (stream.begins_here ? "here" : stream.parent ? [stream.parent, stream.second].filter(Boolean).map((name) => called("node", name)).join(" + ") : stream.wanted ? "nobody yet" : "not wanted here");

/** Links on its way from the origin. */
const hops = (stream) => (stream.begins_here ? 0 : Math.max(0, stream.path.length - 1));

/** A table below its heading.  What is not in sight of a long one is not laid out (see .part in style.css). */
function part(id, title, table, label) {
  byId("panel-mesh").append(el("section", { id, class: "part" }, el("h2", { text: title })));
  furnish(id, table, label);
}

function streamsTable(model, choose, isChosen) {
  const table = new Table({
    label: "streams in the mesh", empty: "no stream passes", key: meshKey, open: choose, light: (stream) => (stream.wanted && !stream.parent && !stream.begins_here ? "warn" : null),
    columns: [
      { title: "", width: "w-light", value: (stream) => (isChosen(stream) ? "▸" : "") },
      { title: "stream", value: (stream) => `${model.nameOfGroup(stream.group)} ${stream.group}`, sort: (stream) => stream.group, show: (cell, stream) => showName(cell, model.nameOfGroup(stream.group), stream.group) },
      { title: "origin", className: "wide", width: "w-name", value: (stream) => (stream.shared ? `shared by ${called("node", stream.node)}` : called("node", stream.node)), sort: (stream) => stream.node },
      { title: "parent", width: "w-name", value: cameFrom, sort: cameFrom },
      { title: "links", className: `${right} wide`, width: "w-count", value: (stream) => (hops(stream) ? whole(hops(stream)) : ""), sort: hops },
      { title: "delay", className: right, width: "w-rate", value: (stream) => milliseconds(stream.delay || null), sort: (stream) => stream.delay },
      { title: "children", className: `${right} wide`, width: "w-count", value: (stream) => whole(stream.children.length), sort: (stream) => stream.children.length },
      { title: "backups", className: "wider", value: (stream) => some(stream.backups.map((name) => called("node", name)), 3), sort: (stream) => stream.backups.length },
      { title: "rate", className: `${right} wide`, width: "w-rate", value: (stream) => bitrate(stream.rate), sort: (stream) => stream.rate },
      { title: "missing", className: `${right} wide`, width: "w-count", value: (stream) => amount(stream.missing), sort: (stream) => stream.missing },
      { title: "again", className: `${right} wider`, width: "w-count", value: again, sort: (stream) => stream.counters.recovered },
    ],
  });
  part("mesh-streams", "Streams", table, "streams in the mesh");
  return (streams, more) => table.show(streams, more);
}

/** Packets that came when they were asked for once more, and that others were sent once more. */
const again = (stream) => amount(stream.counters.recovered + stream.counters.resent);

function neighboursTable(model, select) {
  const linkOf = (each) => model.linkWith(each.id);
  const figure = (title, size, className, value, sort) => ({ title, width: size, className: `${right} ${className}`, value: (each) => value(linkOf(each), each), sort: (each) => sort(linkOf(each), each) ?? -1 });
  const table = new Table({
    label: "neighbours", empty: "no neighbour yet: the events say what was tried", key: (each) => each.id, light: (each) => linkOf(each)?.light[0] ?? null,
    open: (each) => select("link", linkOf(each)?.key ?? each.name),
    columns: [
      { title: "", width: "w-light", value: (each) => (linkOf(each)?.light ?? SILENT)[1], show: (cell, each) => showLightCell(cell, linkOf(each)?.light ?? SILENT) },
      { title: "neighbour", value: (each) => `${called("node", each.name)} ${each.name}`, sort: (each) => each.name, show: (cell, each) => showName(cell, called("node", each.name), each.name) },
      figure("RTT", "w-rate", "", (link, each) => milliseconds(each.rtt), (link, each) => each.rtt),
      figure("jitter", "w-rate", "wide", (link) => milliseconds(link?.peer.jitter ?? null), (link) => link?.peer.jitter),
      figure("loss", "w-count", "", (link) => percent(link?.peer.loss ?? null), (link) => link?.peer.loss),
      figure("in", "w-rate", "wide", (link) => bitrate(link?.in), (link) => link?.in),
      figure("out", "w-rate", "wide", (link) => bitrate(link?.out), (link) => link?.out),
      figure("queue", "w-count", "wide", (link) => amount(link?.peer.queue ?? NaN), (link) => link?.peer.queue),
      figure("carries", "w-count", "wider", (link, each) => whole(each.capacity), (link, each) => each.capacity),
      figure("score", "w-count", "wider", (link, each) => each.score.toFixed(1), (link, each) => each.score),
      { title: "in groups", className: "wider", value: (each) => `${each.behind_nat ? "behind NAT, " : ""}${each.believed ? "" : "not believed, "}${some(each.groups.map((group) => (group === "all" ? group : model.nameOfGroup(group))), 3)}`, sort: (each) => each.groups.length },
    ],
  });
  part("mesh-neighbours", "Neighbours", table, "neighbours");
  return (neighbours) => table.show(neighbours);
}

function groupsTable(model) {
  const table = new Table({
    label: "groups in the mesh", empty: "this node is in no group", key: (group) => group.group,
    columns: [
      { title: "group", value: (group) => `${model.nameOfGroup(group.group)} ${group.group}`, sort: (group) => group.group, show: (cell, group) => showName(cell, model.nameOfGroup(group.group), group.group) },
      { title: "known", className: right, width: "w-count", value: (group) => whole(group.known + group.neighbours.length), sort: (group) => group.known },
      { title: "neighbours", value: (group) => some(group.neighbours.map((name) => called("node", name)), 6), sort: (group) => group.neighbours.length },
    ],
  });
  part("mesh-groups", "Groups", table, "groups in the mesh");
  return (groups) => table.show(groups);
}

function leftAloneTable() {
  const table = new Table({
    label: "nodes that are left alone", empty: "nobody is left alone", key: (each) => each.id, light: () => "warn",
    columns: [
      { title: "node", width: "w-name", value: (each) => `${called("node", each.name)} ${each.name}`, sort: (each) => each.name, show: (cell, each) => showName(cell, called("node", each.name), each.name) },
      { title: "at", className: "wide", width: "w-name", value: (each) => each.address, sort: (each) => each.address },
      { title: "seconds to go", className: right, width: "w-rate", value: (each) => whole(each.seconds), sort: (each) => each.seconds },
      { title: "why", value: (each) => plain(each.why), sort: (each) => each.why },
    ],
  });
  part("mesh-left-alone", "Left alone", table, "nodes that are left alone");
  return (nodes, more) => table.show(nodes, more);
}
