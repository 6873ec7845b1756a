// A session or stream in a <video>, over the node's HTTP output (/udp/GROUP:PORT, a transport stream).
//
// Before the player, a look: the stream's own table (PMT) says which codecs are in it, so what a browser cannot
// show is said in words, at once, and not by a black picture.

import { byId, el, text } from "./dom.js";
import { bitrate, plain } from "./format.js";
import { showFiles } from "./views.js";

// ISO/IEC 13818-1, 2.4.3 and 2.4.4; stream types of table 2-34.
const PACKET = 188;
const SYNC = 0x47;
const TYPES = {
  0x01: ["MPEG-1 video", null], 0x02: ["MPEG-1 or MPEG-2 video", null], 0x03: ["MPEG-1 audio", "audio/mpeg"], 0x04: ["MPEG-2 audio", "audio/mpeg"],
  0x0f: ["AAC", 'audio/mp4; codecs="mp4a.40.2"'], 0x11: ["AAC (LATM)", 'audio/mp4; codecs="mp4a.40.2"'], 0x10: ["MPEG-4 video", null],
  0x1b: ["H.264", 'video/mp4; codecs="avc1.64001f"'], 0x24: ["H.265", 'video/mp4; codecs="hvc1.1.6.L93.B0"'], 0x81: ["AC-3", 'audio/mp4; codecs="ac-3"'],
};
const VIDEO = new Set([0x01, 0x02, 0x10, 0x1b, 0x24]);

const LOOK_MOST = 4 << 20; // bytes until the table must have come
const LOOK_TIME = 12_000; // ms; the node itself gives up after 10 s, and says why
const STUCK = 6_000; // ms without a new picture, and more than a player's own remedies take
const SCRIPT = new URL("mpegts.js", import.meta.url).href;

/** The stream types in a transport stream's first PMT, null while there is none in these bytes. */
export function streamTypes(bytes) {
  const start = synchronised(bytes);
  let tables = new Set();
  for (let at = start; at >= 0 && at + PACKET <= bytes.length; at += PACKET) {
    const section = sectionStart(bytes.subarray(at, at + PACKET));
    if (!section) continue;
    if (section.pid === 0 && section.table[0] === 0x00) tables = programmes(section.table) ?? tables;
    else if (tables.has(section.pid) && section.table[0] === 0x02) {
      const found = elementary(section.table);
      if (found) return found;
    }
  }
  return null;
}

function synchronised(bytes) {
  for (let at = 0; at < PACKET; at++) {
    if (bytes[at] === SYNC && bytes[at + PACKET] === SYNC && bytes[at + 2 * PACKET] === SYNC) return at;
  }
  return -1;
}

/** The PID of a packet in which a section begins, and the section as far as it is in there. */
function sectionStart(packet) {
  if (packet[0] !== SYNC || !(packet[1] & 0x40) || !(packet[3] & 0x10)) return null;
  const begin = packet[3] & 0x20 ? 5 + packet[4] : 4;
  const table = packet.subarray(begin + 1 + packet[begin]);
  return begin < PACKET && table.length > 12 ? { pid: ((packet[1] & 0x1f) << 8) | packet[2], table } : null;
}

const length = (table) => ((table[1] & 0x0f) << 8) | table[2];

function programmes(table) {
  const pids = new Set();
  for (let at = 8; at + 4 <= Math.min(3 + length(table) - 4, table.length); at += 4) {
    if ((table[at] << 8) | table[at + 1]) pids.add(((table[at + 2] & 0x1f) << 8) | table[at + 3]);
  }
  return pids;
}

function elementary(table) {
  const types = [];
  const end = Math.min(3 + length(table) - 4, table.length);
  let at = 12 + (((table[10] & 0x0f) << 8) | table[11]);
  for (; at + 5 <= end; at += 5 + (((table[at + 3] & 0x0f) << 8) | table[at + 4])) types.push(table[at]);
  return types.length ? types : null;
}

/** What of these a browser shows: {can, what} with the names of all. */
export function playable(types) {
  const names = types.map((type) => TYPES[type]?.[0] ?? `type 0x${type.toString(16)}`);
  const shown = types.filter((type) => TYPES[type]?.[1] && MediaSource.isTypeSupported(TYPES[type][1]));
  const video = types.filter((type) => VIDEO.has(type));
  return { can: shown.length > 0 && (!video.length || video.some((type) => shown.includes(type))), what: names.join(" and ") };
}

export class Preview {
  constructor() {
    this.dialog = byId("preview");
    this.video = byId("preview-video");
    this.say = byId("preview-say");
    byId("preview-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.stop());
  }

  async open(session) {
    this.stop();
    text(byId("preview-title"), session.name);
    showFiles(byId("preview-links"), session.files);
    this.video.hidden = true;
    this.tell("looking at the stream …");
    this.dialog.showModal();
    const looking = (this.looking = new AbortController());
    try {
      const types = await this.look(session.url, looking);
      if (looking.signal.aborted) return;
      const { can, what } = playable(types);
      if (!can) return this.tell(`This stream is ${what}, which this browser does not show. VLC does: open the .m3u.`);
      this.tell(`${what}: starting …`);
      await this.play(session.url, what, looking.signal);
    } catch (error) {
      if (!looking.signal.aborted) this.tell(plain(error.message));
    }
  }

  tell(words) {
    text(this.say, words);
  }

  /** Reads until the stream has said what is in it. */
  async look(url, looking) {
    const late = setTimeout(() => looking.abort("late"), LOOK_TIME);
    const nothing = new Error("Nothing came within 12 s: nobody sends, or it does not get here (see what needs attention).");
    let bytes = new Uint8Array(0);
    try {
      const answer = await fetch(url, { signal: looking.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(`The node answers: ${answer.status} ${(await answer.text()).slice(0, 200)}`);
      const reader = answer.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) throw new Error("The stream ended before it said what is in it.");
        bytes = join(bytes, value);
        const types = streamTypes(bytes);
        if (types) {
          reader.cancel().catch(() => {});
          return types;
        }
        if (bytes.length > LOOK_MOST) throw new Error("This is no MPEG transport stream, and a browser shows nothing else here.");
      }
    } catch (error) {
      if (looking.signal.reason === "late") {
        this.tell(bytes.length ? "This is no MPEG transport stream, and a browser shows nothing else here." : nothing.message);
      }
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  async play(url, what, signal) {
    await script();
    if (signal.aborted) return; // closed meanwhile, or another one was opened
    const { mpegts } = window;
    if (!mpegts?.isSupported()) {
      this.tell("This browser has no Media Source Extensions: open the .m3u with VLC.");
      return;
    }
    this.video.hidden = false;
    this.watch(
      mpegts.createPlayer(
        { type: "mpegts", isLive: true, url: new URL(url, location.href).href },
        { enableWorker: false, liveBufferLatencyChasing: true, lazyLoad: false, autoCleanupSourceBuffer: true },
      ),
      mpegts.Events,
      what,
      () => this.play(url, what, signal),
    );
  }

  /** Plays, and says how it goes; one that comes and is not shown for a while is begun anew. */
  watch(player, events, what, again) {
    this.player = player;
    let [at, since] = [-1, performance.now()];
    player.on(events.ERROR, (kind, detail) => {
      this.end();
      this.tell(`It stopped: ${plain(kind)}, ${plain(detail)}`);
    });
    player.on(events.STATISTICS_INFO, (info) => {
      const now = performance.now();
      const rate = info.speed * 8192;
      if (this.video.currentTime !== at || this.video.paused || !rate) [at, since] = [this.video.currentTime, now];
      if (now - since > STUCK) {
        this.end();
        again();
      } else this.tell(this.video.paused ? `${what}: press play` : `${what}, ${bitrate(rate)}`);
    });
    player.attachMediaElement(this.video);
    player.load();
    this.video.play().catch(() => {}); // where a browser wants a click first it stays paused, and that is said
  }

  end() {
    this.player?.destroy();
    this.player = null;
  }

  stop() {
    this.looking?.abort();
    this.end();
  }
}

function join(before, more) {
  const both = new Uint8Array(before.length + more.length);
  both.set(before);
  both.set(more, before.length);
  return both;
}

let loaded;

/** The player, fetched when it is first wanted. */
function script() {
  loaded ??= new Promise((resolve, reject) => {
    const node = el("script", { src: SCRIPT });
    node.onload = resolve;
    node.onerror = () => {
      loaded = undefined; // so that it is tried again
      reject(new Error("The player could not be fetched from the node."));
    };
    document.head.append(node);
  });
  return loaded;
}
