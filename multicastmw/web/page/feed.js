// The connection to the node: one stream of events (multicastmw/web/events.py), made again whenever it is lost.

const SILENT = 12_000; // ms without a word, though the node says something at every look
const AGAIN_FIRST = 500; // ms until the next try, doubling
const AGAIN_MOST = 5_000;

/** Puts a change into a document: [value] puts, [] takes away, {name: change} goes inside. */
export function changed(document, change) {
  if (Array.isArray(change)) return change[0];
  for (const [name, inner] of Object.entries(change)) {
    if (name === "__proto__") continue;
    if (Array.isArray(inner) && !inner.length) delete document[name];
    else document[name] = changed(document[name], inner);
  }
  return document;
}

export class Feed {
  /** `told` has status(document, at), happened(event, id), tick(at) and state(name, detail). */
  constructor(url, told) {
    this.url = url;
    this.told = told;
    this.document = null;
    this.lastId = "";
    this.wait = AGAIN_FIRST;
    this.at = 0; // the node's clock, at `received` of ours
    this.received = 0;
    this.since = performance.now();
  }

  /** Seconds on the node's clock. */
  get now() {
    return this.at + (performance.now() - this.received) / 1000;
  }

  open() {
    clearTimeout(this.again);
    this.source?.close();
    const source = new EventSource(this.lastId ? `${this.url}?after=${encodeURIComponent(this.lastId)}` : this.url);
    this.source = source;
    this.document = null;
    this.heard();
    source.addEventListener("status", (event) => this.status(JSON.parse(event.data)));
    source.addEventListener("happened", (event) => {
      const data = JSON.parse(event.data);
      this.lastId = event.lastEventId;
      this.heard();
      this.told.happened(data, event.lastEventId);
    });
    source.addEventListener("tick", (event) => {
      this.heard(JSON.parse(event.data).at);
      this.told.tick(this.at);
    });
    source.onerror = () => this.lost();
  }

  status(data) {
    this.heard(data.at);
    if ("whole" in data) this.document = data.whole;
    else if (this.document) this.document = changed(this.document, data.change);
    else return;
    this.wait = AGAIN_FIRST;
    this.told.state("live");
    this.told.status(this.document, data.at);
  }

  heard(at) {
    if (at !== undefined) {
      this.at = at;
      this.received = performance.now();
    }
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(), SILENT);
  }

  /** Ours is closed, so that there is one way to come back, whatever the browser makes of an answer. */
  lost() {
    this.source?.close();
    clearTimeout(this.silence);
    this.document = null;
    this.told.state("lost");
    clearTimeout(this.again);
    this.again = setTimeout(() => this.open(), this.wait);
    this.wait = Math.min(this.wait * 2, AGAIN_MOST);
  }
}
