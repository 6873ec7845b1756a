// What this browser keeps: the names that its user gave, and light or dark.  Without storage it lasts as long as
// the page.

const MEMORY = new Map();
const THEME = "mcmw.theme";
const ALIASES = "mcmw.aliases";
const ALIASES_MAX = 1_000;
export const ALIAS_LENGTH = 60;

function read(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return MEMORY.get(key) ?? null;
  }
}

function write(key, value) {
  MEMORY.set(key, value);
  try {
    localStorage.setItem(key, value);
  } catch {
    // a full or forbidden storage
  }
}

let aliases = load();

function load() {
  try {
    const found = JSON.parse(read(ALIASES) ?? "{}");
    return new Map(Object.entries(found).filter(([, name]) => typeof name === "string"));
  } catch {
    return new Map();
  }
}

// Another tab of the same page has given a name.
addEventListener("storage", (event) => {
  if (event.key === ALIASES) aliases = load();
});

/** The user's own name for something, "" without: `kind` is node or stream. */
export const alias = (kind, id) => aliases.get(`${kind}:${id}`) ?? "";

export function setAlias(kind, id, name) {
  const short = name.trim().slice(0, ALIAS_LENGTH);
  if (short && (aliases.size < ALIASES_MAX || aliases.has(`${kind}:${id}`))) aliases.set(`${kind}:${id}`, short);
  else aliases.delete(`${kind}:${id}`);
  write(ALIASES, JSON.stringify(Object.fromEntries(aliases)));
}

/** What a node or a stream is called here. */
export const called = (kind, id) => alias(kind, id) || id;

// --- light and dark: as the system has it, until the user says otherwise

const NEXT = { auto: "dark", dark: "light", light: "auto" };

export function theme() {
  const kept = read(THEME);
  return kept in NEXT ? kept : "auto";
}

export function applyTheme() {
  document.documentElement.dataset.theme = theme();
}

export function nextTheme() {
  write(THEME, NEXT[theme()]);
  applyTheme();
  return theme();
}
