// The keyboard: tabs by number, and a few single letters; none of them where somebody types.

import { byId } from "./dom.js";

export function tabs(show) {
  const list = byId("tabs");
  const all = [...list.querySelectorAll('[role="tab"]')];
  const shown = () => all.filter((tab) => !tab.hidden);
  const open = (tab, focus = false) => {
    for (const each of all) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls")).hidden = !chosen;
    }
    if (focus) tab.focus();
    show(tab.dataset.tab);
  };
  for (const tab of all) tab.addEventListener("click", () => open(tab));
  list.addEventListener("keydown", (event) => {
    const there = shown();
    const at = there.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: there.length - 1 }[event.key];
    if (to === undefined || at < 0) return;
    open(there[(to + there.length) % there.length], true);
    event.preventDefault();
  });
  const byName = (name, focus) => {
    const tab = all.find((each) => each.dataset.tab === name);
    if (tab) open(tab, focus);
  };
  return { open: byName, byNumber: (number) => shown()[number - 1] && open(shown()[number - 1], true) };
}

/** `calls` are by key; digits go to `digit`. */
export function shortcuts(calls, digit) {
  addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.defaultPrevented) return;
    const typing = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (event.key === "Escape") {
      calls.Escape?.(event);
      return;
    }
    if (typing || document.querySelector("dialog[open]")) return;
    if (/^[1-9]$/.test(event.key)) digit(Number(event.key));
    else if (calls[event.key]) calls[event.key](event);
    else return;
    event.preventDefault();
  });
}
