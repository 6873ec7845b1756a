// What somebody has to know or to mend, with its reason: why somebody does not get it.  The worst stands on top.

import { amount, percent, plural, some, span, whole } from "./format.js";
import { called } from "./settings.js";

const RANK = { bad: 0, warn: 1, note: 2 };
const SHOWN_MOST = 50; // of one kind

// Counters of the snapshot that somebody may want to mend; as the command line has them (cli/show.py).
const TROUBLES = {
  malformed: "malformed packets",
  failed: "packets that the TAP did not take",
  too_many_streams: "packets of streams above the bound",
  datagrams_dropped: "datagrams without a right token",
  udp_buffer_full: "datagrams that found the socket's buffer full: sysctl -w net.core.rmem_max=8388608",
  links_refused: "links, refused",
  turned_away: "callers, turned away",
  channels_refused: "channels of peers, above the bound of the table",
  probes_over_bound: "probes of peers that sent far too many",
  bad_probes: "datagrams of peers that made no sense",
  sap_malformed: "announcements of sessions that are none",
  sap_not_read: "announcements of sessions, too many at once",
  sap_refused: "announcements of sessions above the bound",
  sap_evicted: "sessions that were heard once, and made room for others",
  sap_displaced: "sessions that made room, as most come from where they do",
};

// Of very many the node lists the first ones, and counts the rest.
const NOT_SHOWN = {
  groups_not_shown: ["groups", "groups"], routes_not_shown: ["streams", "streams"],
  sessions_not_shown: ["sessions", "sessions"], streams_not_shown: ["streams' health", "streams"],
};

/** The list: {key, level, what, why, go: {tab, kind, id}}. */
export function attention(model) {
  const found = [];
  const say = (level, key, what, why, go) => found.push({ level, key, what, why, go });
  node(model, say);
  peers(model, say);
  streams(model, say);
  groups(model, say);
  counters(model, say);
  return found.sort((a, b) => RANK[a.level] - RANK[b.level]);
}

function node({ document, at }, say) {
  const { tap, fastpath, warnings, refused_reload: refused } = document;
  if (tap.state !== "up") say("bad", "tap", `${tap.device} is ${tap.state}`, tap.why);
  if (tap.gateway && tap.gateway.state !== "forwarding") {
    const other = tap.gateway.forwarder ? `${tap.gateway.forwarder} at ${tap.gateway.forwarder_address} forwards for this LAN` : "nobody forwards for this LAN yet";
    say("note", "gateway", `${tap.device} is ${tap.gateway.state}`, other);
  }
  if (!fastpath.on && fastpath.mode !== "off") say("note", "fastpath", "the kernel forwards nothing", fastpath.why);
  if (refused) say("warn", "reload", "node.ini was not taken", `${refused.why} (${span(at - refused.ago)} ago)`);
  for (const warning of warnings) say("warn", `warning ${warning}`, "warning", warning);
}

function peers({ list, at }, say) {
  for (const link of list) {
    const { peer } = link;
    const go = { tab: "nodes", kind: "link", id: link.key };
    const name = called("node", peer.name);
    if (peer.state !== "up") {
      const behind = peer.endpoint ? ` (${peer.endpoint})` : "";
      say(peer.state === "standby" ? "note" : "bad", `peer ${link.key}`,
        `${name} is ${peer.state === "standby" ? "a standby" : "down"}`,
        `${peer.why || "not reached yet"}${behind}; ${peer.state} for ${span(at - peer.since)}`, go);
      continue;
    }
    if (link.recentlyLost > 0) say("warn", `loss ${link.key}`, `the link with ${name} loses packets`, `${amount(link.recentlyLost)} in the last 10 s found no room in a queue or socket`, go);
    if (link.isLossy) say("warn", `lossy ${link.key}`, `the way to ${name} loses packets`, `${percent(peer.loss)} of the last minute's probes were not answered`, go);
    if (peer.data === "tcp" && peer.falls) say("note", `tcp ${link.key}`, `data with ${name} go over TCP`, `UDP did not get through; fell back ${plural(peer.falls, "time")}`, go);
    for (const section of peer.sections) {
      if (section !== peer.name) say("warn", `section ${link.key} ${section}`, `[peer:${section}] reaches ${peer.name}`, `call the section [peer:${peer.name}]`, go);
    }
  }
}

function streams(model, say) {
  const most = { nobody: 0 };
  for (const stream of model.streams.values()) {
    const { route, key } = stream;
    const name = model.nameOf(stream);
    const title = name === stream.group ? stream.group : `${name} (${stream.group})`;
    const go = { tab: "streams", kind: "stream", id: key };
    if (route.died_of_ttl) {
      say(stream.dies ? "bad" : "note", `ttl ${key}`, `${title} dies of its TTL`,
        `${plural(route.died_of_ttl, "packet")} from ${route.source} had no TTL left${stream.dies ? "" : ", none lately"}: send with a higher one, or raise [tap] ttl-floor at the sender's node`, go);
    }
    if (stream.toNobody && most.nobody++ < SHOWN_MOST) {
      if (route.denied) say("warn", `denied ${key}`, `${title} is denied here`, `[groups] keeps what ${route.source} sends on this node`, go);
      else say("note", `nobody ${key}`, `${title} is sent to nobody`, `${route.source} sends, and no join for it has come to this node`, go);
    }
    if (stream.recentlyLost > 0) say("warn", `lost ${key}`, `${title} loses packets on the way here`, `${amount(stream.recentlyLost)} in the last 10 s, ${amount(stream.lostCount)} in all, from ${some(stream.origins)}`, go);
    const light = stream.health && stream.light;
    if (light && (light[0] === "bad" || light[0] === "warn") && !stream.dies && !stream.toNobody && !stream.recentlyLost) {
      say(light[0], `health ${key}`, `${title} is not well`, light[1], go);
    }
  }
}

function groups({ document }, say) {
  for (const group of document.groups) {
    if (!group.denied) continue;
    const who = group.hosts_known ? some(group.hosts, 3) : "programs here";
    say("warn", `denied group ${group.group} ${group.source}`, `${group.group} is denied here`, `${who} joined it, and [groups] keeps it out`, { tab: "groups" });
  }
}

function counters(model, say) {
  const { tap, counters: room, peers: all } = model.document;
  if (tap.kernel_drops) {
    const grows = model.isGrowing("tap.kernel_drops", tap.kernel_drops);
    say(grows ? "bad" : "note", "tap drops", "this node is too slow", `${plural(tap.kernel_drops, "frame")} from programs found the TAP's queue full${grows ? "" : ", none lately"}`);
  }
  for (const [name, what] of Object.entries(TROUBLES)) {
    const count = (tap.counters[name] ?? room[name] ?? 0) + all.reduce((total, peer) => total + (peer.counters[name] ?? 0), 0);
    if (!count) continue;
    const grows = model.isGrowing(name, count);
    if (grows) say("warn", `count ${name}`, "dropped", `${amount(count)} ${what}`);
  }
  for (const [name, [what, tab]] of Object.entries(NOT_SHOWN)) {
    if (room[name]) say("note", name, `not all ${what} are shown`, `${whole(room[name])} more are there`, { tab });
  }
}
