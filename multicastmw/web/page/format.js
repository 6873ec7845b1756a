// How figures and names are written for people.  The same words as the command line's (cli/text.py).

const NOT_PRINTABLE = /[\p{C}\p{Zl}\p{Zp}]/gu;
const SPACES = /\p{Zs}/gu;

/** A text from outside: what is not printable becomes a question mark, so that it neither hides nor turns. */
export const plain = (text) => String(text ?? "").replace(NOT_PRINTABLE, "?").replace(SPACES, " ");

/** What is said of a playlist whose URLs begin as those of the page at `here` (a location). */
export const overHttp = (here) => (/^(localhost|127\.[\d.]+|\[::1\])$/.test(here.hostname)
  ? `an .m3u for a player on this host alone: no other one reaches ${here.origin}`
  : "an .m3u for a player without multicast, as on a telephone");

/** A count in at most five signs: 950, 12.3k, 4.56M. */
export function amount(count) {
  if (!(count >= 0)) return "–";
  if (count < 10_000) return String(Math.round(count));
  const [size, unit] = [[1e3, "k"], [1e6, "M"]].find(([each]) => count < 999.5 * each) ?? [1e9, "G"];
  return significant(count / size) + unit;
}

/** A whole count with its thousands set apart. */
export const whole = (count) => Math.round(count).toLocaleString("en-GB");

/** Bits a second with a unit, three figures. */
export function bitrate(bits) {
  if (!(bits >= 0)) return "–";
  if (bits < 0.5) return "0";
  const [size, unit] = [[1, "bit/s"], [1e3, "kbit/s"], [1e6, "Mbit/s"]].find(([each]) => bits < 999.5 * each) ?? [1e9, "Gbit/s"];
  return `${significant(bits / size)} ${unit}`;
}

export const packetrate = (rate) => (rate >= 0 ? `${amount(rate)}/s` : "–");

/** Three figures, trailing zeros kept: columns do not jump. */
const significant = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

export const milliseconds = (seconds) => (seconds >= 0 && seconds !== null ? `${significant(seconds * 1000)} ms` : "–");

/** A duration in its two largest units: 8 s, 3 min 5 s, 2 d 4 h. */
export function span(seconds) {
  let left = Math.max(0, Math.floor(seconds));
  const parts = [];
  for (const [size, name] of [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]]) {
    if (left >= size || (name === "s" && !parts.length)) {
      parts.push(`${Math.floor(left / size)} ${name}`);
      left %= size;
    }
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

/** The time of day of a Date, to the second. */
export const clock = (date) => date.toTimeString().slice(0, 8);

export const percent = (share) => (!(share >= 0) || share === null ? "–" : share > 0 && share < 0.0001 ? "<0.01 %" : `${(share * 100).toFixed(2)} %`);

export const plural = (count, one, many = `${one}s`) => `${whole(count)} ${count === 1 ? one : many}`;

/** The first few names, and how many more. */
export function some(names, most = 4) {
  const shown = names.slice(0, most).map(plain).join(", ");
  return names.length > most ? `${shown} +${names.length - most}` : shown;
}
