// A few minutes of figures of each stream and link, in the page only.

export const KEPT = 300; // samples; about one a second

/** Rings of figures that are sampled together. */
export class History {
  constructor(...names) {
    this.names = names;
    this.at = new Float64Array(KEPT);
    this.rings = Object.fromEntries(names.map((name) => [name, new Float32Array(KEPT).fill(NaN)]));
    this.count = 0;
  }

  push(at, figures) {
    const place = this.count++ % KEPT;
    this.at[place] = at;
    for (const name of this.names) this.rings[name][place] = figures[name] ?? NaN;
  }

  get length() {
    return Math.min(this.count, KEPT);
  }

  /** Calls `each(at, value)` from the oldest to the newest. */
  walk(name, each) {
    const ring = this.rings[name];
    for (let place = this.count - this.length; place < this.count; place++) each(this.at[place % KEPT], ring[place % KEPT]);
  }

  last(name) {
    return this.count ? this.rings[name][(this.count - 1) % KEPT] : NaN;
  }

  /** The mean of the last few samples, without those that are not there. */
  mean(name, samples) {
    let sum = 0;
    let found = 0;
    for (let place = Math.max(0, this.count - samples); place < this.count; place++) {
      const value = this.rings[name][place % KEPT];
      if (value === value) (sum += value), found++;
    }
    return found ? sum / found : NaN;
  }

  /** What a series of amounts came to in the last `seconds`. */
  sum(name, now, seconds) {
    let sum = 0;
    this.walk(name, (at, value) => {
      if (now - at < seconds && value === value) sum += value;
    });
    return sum;
  }

  max(name) {
    let most = 0;
    this.walk(name, (_, value) => {
      if (value > most) most = value;
    });
    return most;
  }
}
