// What is known of one thing: a stream, a link, a node, a group or a session, with the user's name for it and, for
// what flows, its charts.

import { attribute, byId, el, keyed, text } from "./dom.js";
import { amount, bitrate, milliseconds, packetrate, percent, plain, plural, span, whole } from "./format.js";
import { ALIAS_LENGTH, alias, called, setAlias } from "./settings.js";
import { Chart } from "./chart.js";
import { asked, listeners, showFiles, streamOf } from "./views.js";

const lostUnit = (value) => amount(value);

// Whether a stream is well costs the node some microseconds a packet, so it looks while one is open here.
const LOOK_EVERY = 4_000; // ms
const LOOK = "10"; // seconds

export class Inspector {
  constructor(model, changedNames, play) {
    this.model = model;
    this.changedNames = changedNames;
    this.host = byId("inspector");
    this.title = byId("inspector-title");
    this.kind = byId("inspector-kind");
    this.facts = byId("inspector-facts");
    this.charts = byId("inspector-charts");
    this.files = byId("inspector-files");
    this.form = byId("alias-form");
    this.input = byId("alias");
    this.input.maxLength = ALIAS_LENGTH;
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.name(this.input.value);
    });
    byId("inspector-close").addEventListener("click", () => this.close());
    this.selected = null;
    this.play = byId("inspector-play");
    this.play.addEventListener("click", () => play(this.playable));
  }

  /** Opens for something; `kind` is stream, link, node, group or session. */
  open(kind, id) {
    const before = this.selected;
    this.from = this.host.hidden ? document.activeElement : this.from;
    this.selected = { kind, id };
    this.host.hidden = false;
    document.body.dataset.inspecting = "yes";
    if (before?.kind !== kind || before?.id !== id) {
      this.charts.replaceChildren();
      this.drawn = this.chartsOf(kind);
      this.charts.append(...this.drawn.map((chart) => chart.node));
      this.lookedAt = -Infinity;
    }
    this.show();
    const [aliasKind, aliasId] = this.aliasOf();
    this.form.hidden = !aliasKind;
    this.input.value = aliasKind ? alias(aliasKind, aliasId) : "";
    byId("inspector-close").focus({ preventScroll: true });
  }

  /** Has the node look at the group's streams, and go on for a while. */
  look(group) {
    const now = performance.now();
    if (now - this.lookedAt < LOOK_EVERY) return;
    this.lookedAt = now;
    const body = JSON.stringify({ group, seconds: LOOK });
    fetch("streams/watch", { method: "POST", body }).catch(() => {}); // that it is gone is shown anyway
  }

  close() {
    if (this.host.hidden) return false;
    this.host.hidden = true;
    delete document.body.dataset.inspecting;
    this.selected = null;
    this.from?.isConnected && this.from.focus({ preventScroll: true });
    return true;
  }

  name(value) {
    const [kind, id] = this.aliasOf();
    if (!kind) return;
    setAlias(kind, id, value);
    this.input.value = alias(kind, id);
    text(byId("alias-said"), this.input.value ? "kept in this browser" : "its own name again");
    this.changedNames();
  }

  /** Whose alias it is: a link has that of its node, a stream that of its group. */
  aliasOf() {
    const { kind, id } = this.selected ?? {};
    if (kind === "node") return ["node", id];
    if (kind === "link") return ["node", this.model.links.get(id)?.name ?? id];
    if (kind === "stream" || kind === "group") return ["stream", id.split(" ")[0]];
    return [];
  }

  chartsOf(kind) {
    if (kind === "stream") {
      return [
        new Chart("rate", [{ name: "bits", title: "", colour: "--line-1" }], bitrate),
        new Chart("lost on the way here", [{ name: "lost", title: "in a second", colour: "--line-bad", className: "bad" }], lostUnit, 56),
        new Chart("delay variation", [{ name: "delay", title: "jitter", colour: "--line-3", className: "three" }], milliseconds, 56),
      ];
    }
    if (kind === "link") {
      return [
        new Chart("rate", [{ name: "out", title: "out", colour: "--line-1" }, { name: "in", title: "in", colour: "--line-2", className: "two" }], bitrate),
        new Chart("round trip", [{ name: "rtt", title: "", colour: "--line-3", className: "three" }], milliseconds, 56),
        new Chart("probes not answered", [{ name: "loss", title: "of the last minute", colour: "--line-bad", className: "bad" }], percent, 56),
        new Chart("no room in a queue or socket", [{ name: "lost", title: "in a second", colour: "--line-bad", className: "bad" }], lostUnit, 56),
      ];
    }
    return [];
  }

  show() {
    if (!this.selected || this.host.hidden) return;
    const { kind, id } = this.selected;
    if (kind === "stream") this.look(id.split(" ")[0]);
    const found = this[kind](id);
    text(this.kind, kind);
    text(this.title, found?.title ?? id);
    this.playable = found?.plays ?? null;
    this.play.hidden = !this.playable;
    showFiles(this.files, found?.files ?? this.playable?.files ?? []);
    const rows = found ? found.rows.filter(([, value]) => value !== "" && value != null) : [["", "it is not there any more"]];
    keyed(this.facts, rows, ([label]) => label, ([label]) => {
      const value = el("dd");
      return { value, node: el("div", {}, el("dt", { text: label }), value) };
    }, (entry, [, value, level]) => {
      text(entry.value, value);
      attribute(entry.value, "data-light", level ?? null);
    });
    if (found?.history) for (const chart of this.drawn) {
      chart.node.hidden = chart.lines.every((line) => !(found.history.max(line.name) > 0)) && chart.title === "delay variation";
      chart.draw(found.history, this.model.at);
    }
  }

  // --- the kinds: {title, rows: [label, value, level], history}

  stream(key) {
    const stream = this.model.streams.get(key);
    if (!stream) return null;
    const { route } = stream;
    return {
      title: this.model.nameOf(stream), history: stream.history, plays: this.model.playableOf(stream),
      rows: [
        ["state", stream.light[1], stream.light[0]],
        ["group", stream.group], ["source", stream.source],
        ["comes from", route.sent_from_here !== null ? "a program here" : stream.origins.map((name) => called("node", name)).join(", ")],
        ["goes to", route.to.map((name) => called("node", name)).join(", ") || "nobody", route.to.length ? null : "warn"],
        ["rate", `${bitrate(stream.bits)}, ${packetrate(stream.rate)}`],
        ["packets", whole(route.packets)], ["bytes", whole(route.bytes)],
        ["lost on the way", whole(stream.lostCount), stream.recentlyLost > 0 ? "warn" : null],
        ["duplicates", whole(stream.duplicates)],
        ["over HTTP", this.players(stream.group)],
        ["died of TTL", whole(route.died_of_ttl), stream.dies ? "bad" : null],
        ["sent to nobody", whole(route.to_nobody), stream.toNobody ? "warn" : null],
        ["forwarded by", route.fast ? "the kernel" : `Python${route.why_slow ? `: ${route.why_slow}` : ""}`],
        ["denied here", route.denied ? "yes, by [groups]" : "", "warn"],
        ...this.model.meshStreamsOf(stream).flatMap((each, _, all) => meshRows(each, all.length > 1)),
        ...this.healthRows(stream.health),
      ],
    };
  }

  /** How many watch the group over HTTP; nothing for none. */
  players(group) {
    const players = this.model.playersOf(group);
    return players ? plural(players, "player") : "";
  }

  /** What the stream monitor has found, and whose fault it is. */
  healthRows(health) {
    if (!health) return [];
    const errors = (health.errors ?? []).map((each) => [each.name, `${whole(each.source)} at the source, ${whole(each.way)} on the way, the last ${span(this.model.at - each.ago)} ago`, "warn"]);
    const programmes = (health.programmes ?? []).map((each) => each.name || `number ${each.number}`);
    return [
      ["health", health.reason ? `${health.health}: ${health.reason}` : health.health], ["port", health.port], ["is", health.kind],
      ["codecs", (health.codecs ?? []).join(", ")], ["programmes", programmes.join(", ")],
      ["errors", health.source_errors == null ? "" : `${whole(health.source_errors)} at the source, ${whole(health.way_errors)} on the way`],
      ...errors, ...described(health.transport), ...described(health.rtp, "RTP "), ...described(health.overlay, "overlay "),
    ];
  }

  link(key) {
    const link = this.model.links.get(key);
    if (!link) return null;
    const { peer } = link;
    const { counters } = peer;
    return {
      title: called("node", peer.name), history: link.history,
      rows: [
        ["state", peer.state, link.light[0]], ["why", peer.why, "bad"], ["for", span(this.model.at - peer.since)],
        ["name", peer.name], ["id", peer.id], ["address", peer.address], ["dialled at", peer.endpoint], ["dialled by", peer.dialled_by],
        ["attempts", peer.attempts ? whole(peer.attempts) : ""],
        ["TLS", peer.tls === null ? "" : peer.tls ? "yes" : "no"],
        ["data", peer.data ? `${peer.data.toUpperCase()}${peer.data_address ? ` to ${peer.data_address}` : ""}` : ""],
        ["fell back to TCP", peer.falls ? `${whole(peer.falls)} times` : ""],
        ["kernel serves it", peer.state === "up" ? (peer.fast ? "yes" : `no: ${peer.why_slow}`) : ""],
        ["round trip", peer.rtt == null ? "" : `${milliseconds(peer.rtt)}${peer.jitter == null ? "" : `, jitter ${milliseconds(peer.jitter)}`}`],
        ["probes lost", peer.loss == null ? "" : `${percent(peer.loss)} of the last minute's`, link.isLossy ? "warn" : null],
        ["in", peer.state === "up" ? `${bitrate(link.in)}, ${whole(counters.received ?? 0)} packets` : ""],
        ["out", peer.state === "up" ? `${bitrate(link.out)}, ${whole(counters.sent ?? 0)} packets` : ""],
        ["waiting", peer.queue ? whole(peer.queue) : ""],
        ["found no room", peer.state === "up" ? whole(link.lost) : "", link.recentlyLost > 0 ? "warn" : null],
        ["wants", peer.state === "up" ? `${whole(peer.channels)} channels` : ""],
        ["behind it", peer.nodes.filter((name) => name !== peer.name).map((name) => called("node", name)).join(", ")],
      ],
    };
  }

  node(name) {
    const { document: doc } = this.model;
    if (name === doc.node.name) return this.here();
    const node = doc.nodes.find((each) => (each.name ?? each.id) === name);
    const from = this.model.list_of_streams.filter((stream) => stream.origins.includes(name));
    if (!node) return this.member(name, from);
    return {
      title: called("node", name),
      rows: [
        ["name", node.name], ["id", node.id], ["behind", node.via.map((each) => called("node", each)).join(", ")],
        ["sends", from.map((stream) => this.model.nameOf(stream)).join(", ")],
      ],
    };
  }

  /** A node of the mesh that is no neighbour: on the way of a stream, or its origin. */
  member(name, from) {
    const passed = (this.model.document.mesh?.streams ?? []).filter((each) => each.path.includes(name) || each.node === name);
    if (!passed.length) return null;
    return {
      title: called("node", name),
      rows: [
        ["name", name], ["is", "in the mesh, and no neighbour of this node"],
        ["sends", from.map((stream) => this.model.nameOf(stream)).join(", ")],
        ["carries to here", passed.filter((each) => each.node !== name).map((each) => this.model.nameOfGroup(each.group)).join(", ")],
      ],
    };
  }

  here() {
    const { node, tap, querier, fastpath } = this.model.document;
    return {
      title: called("node", node.name),
      rows: [
        ["name", node.name], ["id", node.id], ["version", node.version], ["up for", span(this.model.at - node.uptime)],
        ["listens", node.listening ?? "nowhere"], ["data", node.data_port ? `UDP port ${node.data_port}` : "on TCP only"],
        ["TAP", `${tap.device} ${tap.state}`, tap.state === "up" ? null : "bad"], ["waits for", tap.state === "up" ? "" : tap.why],
        ["address", tap.address], ["MTU", tap.mtu], ["TTL floor", tap.ttl_floor || "none"],
        ["from programs", `${whole(tap.counters.received ?? 0)} packets`], ["to programs", `${whole(tap.counters.delivered ?? 0)} packets`],
        ["querier", `IGMPv${querier.version}, ${querier.state}${querier.querier_name ? `: ${querier.querier_name}` : ""}`],
        ["kernel forwards", fastpath.on ? `${whole(fastpath.routes)} routes (${fastpath.way})` : `nothing: ${fastpath.why}`],
        ["certificate", node.tls ? `until ${node.tls.valid_until}` : ""], ["log", node.log_level],
      ],
    };
  }

  group(key) {
    const group = this.model.document.groups.find((each) => `${each.group} ${each.source}` === key);
    if (!group) return null;
    return {
      title: called("stream", group.group),
      rows: [
        ["group", group.group], ["source", group.source], ["denied", group.denied ? "yes, by [groups]: programs here do not get it" : "", "warn"],
        ["wanted by", group.wanted_by.map((name) => called("node", name)).join(", ") || "nobody"], ["over HTTP", this.players(group.group)], ["asked by", asked(group)], ["mode", group.mode],
        ["hosts here", group.hosts.join(", ")], ["of", group.hosts_known > group.hosts.length ? whole(group.hosts_known) : ""],
        ["last report", group.reporter], ["expires in", group.expires_in == null ? "" : span(group.expires_in - this.model.at)], ["pinned", group.pinned ? "yes" : ""],
      ],
    };
  }

  session(key) {
    const session = this.model.sessions.find((each) => each.key === key);
    if (!session) return null;
    const stream = streamOf(this.model, session);
    return {
      title: session.name, plays: session.url ? session : null, files: session.files,
      rows: [
        ["state", stream ? stream.light[1] : "silent here", stream ? stream.light[0] : null],
        ["address", session.address], ["from", session.from], ["rate", stream ? bitrate(stream.bits) : ""],
        ["listeners", whole(listeners(this.model, session))],
        ["announced for", span(this.model.at - session.raw.age)],
        ["heard last", `${span(this.model.at - session.raw.heard_ago)} ago`],
        ["goes in", span(session.raw.expires_in - this.model.at)],
        ...announced(session.raw),
      ],
    };
  }
}

/** A stream's place in the mesh; `isOneOfSome`: there are other origins of it. */
function meshRows(stream, isOneOfSome) {
  const of = isOneOfSome ? ` (${plain(stream.node)})` : "";
  const names = (list) => list.map((name) => called("node", name)).join(", ");
  const { recovered, resent, given_up: lost } = stream.counters;
  return [
    [`way here${of}`, stream.path.length > 1 ? stream.path.map((name) => called("node", name)).join(" → ") : ""],
    [`parent${of}`, stream.begins_here ? "none: it begins here" : stream.parent ? called("node", stream.parent) : stream.wanted ? "nobody yet" : "none: it is not wanted here", stream.wanted && !stream.parent && !stream.begins_here ? "warn" : null],
    [`second feed${of}`, stream.second ? stream.second_path.map((name) => called("node", name)).join(" → ") || called("node", stream.second) : ""],
    [`on both ways${of}`, names(stream.both_pass)],
    [`backups${of}`, names(stream.backups)], [`children${of}`, names(stream.children)],
    [`delay of the way${of}`, stream.delay ? milliseconds(stream.delay) : ""],
    [`asked for again${of}`, recovered || resent || lost || stream.missing ? `${whole(recovered)} came, ${whole(lost)} never did, ${whole(stream.missing)} are missing; ${whole(resent)} were sent to others` : ""],
  ];
}

/** What was said of a session, by whom and where. */
function announced(session) {
  const media = (session.media ?? []).map((each, index, all) => [
    all.length > 1 ? `medium ${index + 1}` : "medium",
    [each.kind, (each.encodings ?? []).join(" "), each.protocol, `${each.group}:${each.port || "off"}`, each.ttl == null ? "" : `TTL ${each.ttl}`, each.title,
      each.sources?.length ? `only from ${each.sources.join(", ")}` : ""].filter(Boolean).join(", "),
  ]);
  return [
    ["about", session.description], ["category", session.category], ...media,
    ["announced by", [session.ours ? "this node" : session.node, session.originator, session.tool].filter(Boolean).join(", ")],
    ["announced at", (session.announced_at ?? []).join(", ")], ["every", session.period == null ? "" : span(session.period)], ["id", session.id],
  ];
}

/** Figures that this page knows no words for, as they are: texts, numbers and what is nested in them. */
function described(value, prefix = "") {
  if (!value || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([name, inner]) => {
    const label = `${prefix}${plain(name).replaceAll("_", " ")}`;
    if (inner === null || inner === "" || ["group", "source"].includes(name)) return [];
    if (Array.isArray(inner) && inner.every((each) => typeof each !== "object")) return inner.length ? [[label, inner.join(", ")]] : [];
    if (name === "pids") return [];
    if (typeof inner === "object") return described(inner, `${label} `);
    return [[label, typeof inner === "boolean" ? (inner ? "yes" : "no") : String(inner)]];
  });
}
