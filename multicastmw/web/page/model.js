// What the documents say, over time: rates, what grew just now, which stream runs along which link.

import { overHttp } from "./format.js";
import { History } from "./history.js";
import { alias } from "./settings.js";

const STEP_LEAST = 0.4; // seconds between two samples, else rates are noise
const SMOOTH = 3; // samples that a shown rate is the mean of
const RECENT = 10; // seconds in which a count that grew is news
const COLOURS = 8;
// Groups that nodes want of each other: SAP's (RFC 2974), and that by which they ask each other (wire/probe.py).
const OF_NODES = new Map([
  ["224.2.127.254", "announcements"], ["239.195.255.255", "announcements, organisation"], ["239.255.255.255", "announcements, local"],
  ["239.255.77.68", "nodes' questions"],
]);
export const LOSSY = 0.02; // the share of probes from which on a link's losses are a warning

const sum = (items, value) => items.reduce((total, item) => total + (value(item) ?? 0), 0);
const per = (now, before, seconds) => (now >= before ? (now - before) / seconds : NaN);

/** A stream: one (S, G), whatever is known of it. */
class Stream {
  constructor(key, route, colour) {
    this.key = key;
    this.group = route.group;
    this.source = route.source;
    this.isOfNodes = OF_NODES.has(route.group);
    this.colour = colour;
    this.history = new History("bits", "packets", "lost", "delay");
    this.before = null;
  }

  take(route, health, at, seconds) {
    this.route = route;
    this.health = health;
    this.lostCount = sum(route.streams, (each) => each.lost);
    this.duplicates = sum(route.streams, (each) => each.duplicates);
    this.origins = route.streams.map((each) => each.node ?? each.origin);
    const now = { bytes: route.bytes, packets: route.packets, lost: this.lostCount, died: route.died_of_ttl, nobody: route.to_nobody };
    if (this.before && seconds) {
      const grown = Object.fromEntries(Object.keys(now).map((name) => [name, per(now[name], this.before[name], seconds)]));
      this.history.push(at, { bits: grown.bytes * 8, packets: grown.packets, lost: grown.lost * seconds, delay: delayOf(health) });
      if (grown.died > 0) this.diedAt = at;
      if (grown.nobody > 0) this.nobodyAt = at;
      if (grown.lost > 0) this.lostAt = at;
      if (grown.packets > 0) this.flowedAt = at;
    }
    if (!this.before || seconds) this.before = now;
    // What is said is the node's own figure, as everywhere; the charts have every second of it.
    this.bits = route.rate;
    this.rate = route.packet_rate;
    this.recentlyLost = this.history.sum("lost", at, RECENT);
    this.flows = this.flowedAt !== undefined && at - this.flowedAt < 3;
    this.dies = this.diedAt !== undefined && at - this.diedAt < RECENT;
    this.toNobody = this.nobodyAt !== undefined && at - this.nobodyAt < 3 && !route.to.length;
    this.light = this.judge();
  }

  /** [level, word]; the level is also a shape, for who sees no colours. */
  judge() {
    const told = lightOf(this.health);
    if (this.dies) return ["bad", "dies of its TTL"];
    if (told && told[0] !== "good") return told;
    if (!this.flows) return ["off", "silent"];
    if (this.toNobody) return ["warn", this.route.denied ? "denied here" : "sent to nobody"];
    if (this.recentlyLost > 0) return ["warn", "loses packets"];
    return told ?? ["good", "flows"];
  }
}

/** A link to a peer, up or not. */
class Link {
  constructor(key) {
    this.key = key;
    this.history = new History("in", "out", "rtt", "lost", "loss");
    this.before = null;
  }

  take(peer, at, seconds) {
    this.peer = peer;
    this.name = peer.name;
    const counters = peer.counters;
    this.lost = peer.queue_drops + peer.kernel_drops + (counters.socket_full ?? 0);
    const now = { in: counters.received_bytes ?? 0, out: counters.sent_bytes ?? 0, lost: this.lost };
    if (this.before && seconds) {
      this.history.push(at, {
        in: per(now.in, this.before.in, seconds) * 8,
        out: per(now.out, this.before.out, seconds) * 8,
        lost: per(now.lost, this.before.lost, 1),
        rtt: peer.rtt ?? NaN,
        loss: peer.loss ?? NaN,
      });
    }
    if (!this.before || seconds) this.before = now;
    this.in = peer.rate_received;
    this.out = peer.rate_sent;
    this.recentlyLost = this.history.sum("lost", at, RECENT);
    this.isLossy = (peer.loss ?? 0) > LOSSY;
    this.strands = [];
    this.light = this.judge();
  }

  judge() {
    const peer = this.peer;
    if (peer.state === "standby") return ["warn", "standby"];
    if (peer.state !== "up") return ["bad", peer.state];
    if (this.recentlyLost > 0 || this.isLossy) return ["warn", "loses packets"];
    return ["good", "up"];
  }
}

export class Model {
  constructor() {
    this.document = null;
    this.at = 0;
    this.streams = new Map();
    this.links = new Map();
    this.total = new History("in", "out");
    this.grown = new Map(); // counter -> {value, at}: when it grew last
    this.colours = 0;
  }

  /** A document of the moment `at`, or the same one once more when some time passed. */
  take(document, at) {
    const old = this.document?.node;
    if (old && (old.origin !== document.node.origin || at < this.at)) this.forget(); // it was started again
    const passed = this.sampledAt === undefined ? 0 : at - this.sampledAt;
    const seconds = passed >= STEP_LEAST ? passed : 0;
    if (seconds || this.sampledAt === undefined) this.sampledAt = at;
    this.document = document;
    this.at = at;
    this.takeStreams(document, at, seconds);
    this.takeLinks(document, at, seconds);
    this.takeSessions(document);
    this.runStrands();
    this.totals(document, at, seconds);
  }

  forget() {
    this.streams.clear();
    this.links.clear();
    this.grown.clear();
    this.sampledAt = this.totalBefore = undefined;
  }

  takeStreams(document, at, seconds) {
    const health = healthByRoute(document.streams);
    const gone = new Set(this.streams.keys());
    for (const route of document.routes) {
      const key = `${route.group} ${route.source}`;
      gone.delete(key);
      if (!this.streams.has(key)) this.streams.set(key, new Stream(key, route, this.colours++ % COLOURS));
      this.streams.get(key).take(route, health.get(key), at, seconds);
    }
    for (const key of gone) this.streams.delete(key);
  }

  takeLinks(document, at, seconds) {
    const gone = new Set(this.links.keys());
    this.list = [];
    this.named = new Map();
    this.withId = new Map();
    for (const peer of document.peers) {
      const key = peer.id ? `${peer.name} ${peer.id}` : `${peer.name} ${peer.endpoint}`;
      gone.delete(key);
      if (!this.links.has(key)) this.links.set(key, new Link(key));
      const link = this.links.get(key);
      link.take(peer, at, seconds);
      this.list.push(link);
      this.named.set(peer.name, link);
      if (peer.id) this.withId.set(peer.id, link);
    }
    for (const key of gone) this.links.delete(key);
  }

  takeSessions(document) {
    this.sessions = (document.sessions ?? []).map(sessionOf);
    this.sessionOfGroup = new Map();
    for (const session of this.sessions) if (session.group) this.sessionOfGroup.set(session.group, session);
  }

  /** Which streams run along which link, and which way. */
  runStrands() {
    const byName = this.named;
    const towards = new Map();
    for (const link of this.list) for (const node of link.peer.nodes) if (!towards.has(node)) towards.set(node, link);
    for (const stream of this.streams.values()) {
      if (!stream.flows || stream.isOfNodes) continue;
      for (const name of stream.route.to) byName.get(name)?.strands.push({ stream, way: "out" });
      const froms = new Set(stream.origins.map((origin) => towards.get(origin)));
      for (const link of froms) link?.strands.push({ stream, way: "in" });
    }
    this.runMeshStrands();
    for (const link of this.list) link.strands.sort((a, b) => b.stream.bits - a.stream.bits);
  }

  /** In the mesh each stream says itself who has it from whom. */
  runMeshStrands() {
    for (const each of this.document.mesh?.streams ?? []) {
      const stream = this.streams.get(`${each.group} ${each.source}`);
      if (!stream?.flows || stream.isOfNodes) continue;
      if (each.parent) this.named.get(each.parent)?.strands.push({ stream, way: "in" });
      for (const name of each.children) this.named.get(name)?.strands.push({ stream, way: "out" });
    }
  }

  /** The link with the node of this name, or of this id. */
  linkNamed(name) {
    return this.named.get(name);
  }

  linkWith(id) {
    return this.withId.get(id);
  }

  /** What the mesh says of a stream: one for each origin. */
  meshStreamsOf({ group, source }) {
    return (this.document.mesh?.streams ?? []).filter((each) => each.group === group && each.source === source);
  }

  totals(document, at, seconds) {
    const tap = document.tap.counters;
    const now = {
      in: (tap.received_bytes ?? 0) + sum(document.peers, (peer) => peer.counters.received_bytes),
      out: (tap.delivered_bytes ?? 0) + sum(document.peers, (peer) => peer.counters.sent_bytes),
    };
    if (this.totalBefore && seconds) {
      this.total.push(at, { in: per(now.in, this.totalBefore.in, seconds) * 8, out: per(now.out, this.totalBefore.out, seconds) * 8 });
    }
    if (!this.totalBefore || seconds) this.totalBefore = now;
    this.in = this.total.mean("in", SMOOTH);
    this.out = this.total.mean("out", SMOOTH);
  }

  /** Has this count grown lately?  Asked once a document. */
  isGrowing(name, value) {
    const known = this.grown.get(name);
    if (!known) this.grown.set(name, { value, at: -Infinity });
    else if (value > known.value) this.grown.set(name, { value, at: this.at });
    else known.value = value;
    return this.at - this.grown.get(name).at < RECENT;
  }

  get list_of_streams() {
    return [...this.streams.values()];
  }

  /** Streams that flow now, but for what nodes say to each other. */
  get flowing() {
    return this.list_of_streams.filter((stream) => stream.flows && !stream.isOfNodes);
  }

  /** What a group is called: by the user, by its session, or by what nodes use it for; else its address. */
  nameOfGroup(group) {
    return alias("stream", group) || this.sessionOfGroup.get(group)?.name || OF_NODES.get(group) || group;
  }

  /** How many of these the node has beside those that it lists. */
  notShown(what) {
    return this.document.counters[`${what}_not_shown`] ?? 0;
  }

  /** Groups that somebody wants, but for those that nodes want of each other. */
  get groupsWanted() {
    const wanted = this.document.groups.filter((group) => group.wanted_by.length).length;
    return wanted + this.notShown("groups") - (this.document.counters.groups_of_nodes ?? 0);
  }

  /** Players that watch a group over HTTP. */
  playersOf(group) {
    return sum((this.document.outputs ?? []).filter((output) => output.group === group), (output) => output.clients);
  }

  /** The stream of a group that runs, if one comes through here: of several the fastest. */
  streamOfGroup(group) {
    let found = null;
    for (const stream of this.streams.values()) {
      if (stream.group === group && (!found || stream.bits > found.bits || !(found.bits >= 0))) found = stream;
    }
    return found;
  }

  /** What the preview plays of a stream: as its session has it, else where the monitor has seen it; null: unknown. */
  playableOf(stream) {
    const session = this.sessionOfGroup.get(stream.group);
    if (session?.url) return session;
    const { port, kind } = stream.health ?? {};
    if (!port) return null;
    const address = `${stream.group}:${port}`;
    const scheme = kind === "rtp" ? "rtp" : "udp";
    const url = `${scheme}/${address}`;
    return { name: this.nameOf(stream), url, files: filesOf(address, url, { m3u: true }) };
  }

  /** The user's name for a stream, else its session's, else its group. */
  nameOf(stream) {
    return this.nameOfGroup(stream.group);
  }
}

// --- what others put into the snapshot: each figure is there or it is not

const WORSE = { bad: 3, warn: 2, ok: 1, unknown: 0 };
const LIGHTS = { ok: "good", warn: "warn", bad: "bad" };

/** Of each route what the monitor knows of it; of several ports the one that is worst. */
function healthByRoute(streams) {
  const found = new Map();
  for (const each of streams ?? []) {
    const key = `${each.group} ${each.source}`;
    if (!found.has(key) || WORSE[each.health] > WORSE[found.get(key).health]) found.set(key, each);
  }
  return found;
}

const delayOf = (health) => health?.overlay?.delay ?? health?.rtp?.jitter ?? health?.transport?.pcr_jitter ?? NaN;

function lightOf(health) {
  const level = LIGHTS[health?.health];
  return level && [level, health.reason || { good: "flows", warn: "is not well", bad: "is broken" }[level]];
}

/** A session as the tables have it: its first medium that is sent is what plays. */
function sessionOf(session) {
  const medium = session.media?.find((each) => each.port) ?? session.media?.[0] ?? {};
  const group = medium.port ? medium.group : "";
  const address = group ? `${group}:${medium.port}` : "";
  const scheme = /rtp/i.test(medium.protocol ?? "") ? "rtp" : "udp";
  const name = session.name || address || session.id;
  const source = medium.sources?.length === 1 ? medium.sources[0] : ""; // SSM: nobody else's packets
  return {
    key: session.id, raw: session, name, group, address, from: session.node ?? session.source ?? "",
    url: address && `${scheme}/${address}${source ? `?source=${encodeURIComponent(source)}` : ""}`,
    files: filesOf(name, `session/${encodeURIComponent(session.id)}`, { sdp: session.sdp, m3u: address }),
  };
}

/** What a player opens, from the node: {title, name, href, says}.  A telephone has no multicast, and takes HTTP. */
function filesOf(name, where, { sdp, m3u }) {
  const stem = name.replace(/[^\p{L}\p{N}._-]+/gu, "_").slice(0, 60) || "session";
  const files = [];
  if (m3u) files.push({ title: ".m3u", name: `${stem}.m3u`, href: `${where}.m3u`, says: "for a player on this network: multicast" });
  if (m3u) files.push({ title: "over HTTP", name: `${stem}-http.m3u`, href: `${where}.m3u?via=http`, says: overHttp(location) });
  if (sdp) files.push({ title: ".sdp", name: `${stem}.sdp`, href: `${where}.sdp`, says: "the session as it was announced" });
  return files;
}
