// The document is changed here and nowhere else: texts as text nodes, lists by key, and only what is different.

import { plain } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";
const LISTS = new WeakMap(); // parent -> Map of key -> entry

export const byId = (id) => document.getElementById(id);

/** An element; `attributes` are set as such, except `class`, `on` (listeners) and `text`. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (name === "text") text(node, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Makes this the text of a node that holds nothing else. */
export function text(node, value) {
  const wanted = plain(value);
  if (node.said === wanted) return;
  node.said = wanted;
  if (node.firstChild?.nodeType === Node.TEXT_NODE) node.firstChild.data = wanted;
  else node.replaceChildren(document.createTextNode(wanted));
}

/** Sets an attribute if it is another; null takes it away. */
export function attribute(node, name, value) {
  const wanted = value == null || value === false ? null : value === true ? "" : String(value);
  if (node.getAttribute(name) === wanted) return;
  if (wanted === null) node.removeAttribute(name);
  else node.setAttribute(name, wanted);
}

/**
 * Makes the children of `parent` those of `items`, in this order.  `make(item)` gives an entry with a `node`,
 * once a key; `update(entry, item)` is called each time.  What stays in its place is not touched.
 */
export function keyed(parent, items, keyOf, make, update) {
  if (!LISTS.has(parent)) LISTS.set(parent, new Map());
  const known = LISTS.get(parent);
  const wanted = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!wanted.has(key)) wanted.set(key, item);
  }
  for (const [key, entry] of known) {
    if (wanted.has(key)) continue;
    entry.node.remove();
    known.delete(key);
  }
  let at = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let entry = known.get(key);
    if (!entry) known.set(key, (entry = make(item)));
    if (entry.node === at) at = at.nextElementSibling;
    else parent.insertBefore(entry.node, at);
    update(entry, item);
  }
}
