"""What a node.ini that is read again changes: the Config that runs against the one that is wanted, no I/O.

Every option of the table in sections.py is compared.  What a node can take under way stands in LIVE; all else
waits for a restart and keeps its running value, so the config of a plan is what the node really does, and
the next comparison starts from there.  An option that comes to be is one for a restart until it is listed.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from multicastmw.config import Config
from multicastmw.core.addressing import Channel
from multicastmw.sections import SECTIONS, Option, PeerConfig, SessionConfig, TlsConfig, options
from multicastmw.wire import ipv4

TLS_FILES = ("certificate", "private-key", "authorities")
LIVE: dict[str, tuple[str, ...]] = {
    "tap": ("groups", "persist", "reassemble", "ttl-floor"),
    "igmp": ("version", "query-interval", "robustness", "querier-address"),
    "groups": ("allow", "deny", "pin"),
    "listen": ("endpoint", "keepalive-timeout"),
    "overlay": ("feeds", "feeds-groups", "rotate"),
    "fastpath": ("mode",),
    "recovery": ("fec",),
    "tls": TLS_FILES,
    "web": ("endpoint", "token"),
    "log": ("level",),
}
NOTES = {
    ("listen", "keepalive-timeout"): "for links made from now on; those that are up keep theirs",
    ("tls", "certificate"): "for links made from now on",
    ("tls", "private-key"): "for links made from now on",
    ("tls", "authorities"): "for links made from now on",
}
NOT_BUILT = "not built in this release"


class Effect(StrEnum):
    """What becomes of a change."""

    APPLIED = "applied"
    RESTART = "restart"  # the running value stays until then
    IGNORED = "ignored"


@dataclass(frozen=True)
class Change:
    """One option, as node.ini had it and has it; None: its section was not there."""

    section: str
    option: str
    before: str | None
    after: str | None
    effect: Effect
    note: str = ""

    @property
    def what(self) -> str:
        """As one names it in node.ini; a section that comes or goes is named as a whole."""
        whole = self.before is None or self.after is None
        return f"[{self.section}]" if whole else f"[{self.section}] {self.option}"

    def sentence(self) -> str:
        """For a log."""
        if self.before is None:
            said = f"{self.what} is new: {self.after}"
        elif self.after is None:
            said = f"{self.what} is gone: {self.before}"
        else:
            said = f"{self.what}: {self.before or 'empty'} -> {self.after or 'empty'}"
        if self.effect is Effect.RESTART:
            said += ", needs a restart"
        return said + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True)
class Plan:
    """`config` is what runs once the changes are applied.

    A peer whose endpoint changed is in `removed` as it was and in `added` as it is to be.
    """

    running: Config
    config: Config
    changes: tuple[Change, ...]
    removed: tuple[PeerConfig, ...]
    added: tuple[PeerConfig, ...]

    @property
    def kept_peers(self) -> int:
        return len(set(self.running.peers) & set(self.config.peers))

    def touches(self, section: str, *names: str) -> bool:
        """Is any of these options (of all, if none is named) to be applied?"""
        return any(
            change.section == section and change.effect is Effect.APPLIED
            for change in self.changes
            if not names or change.option in names
        )

    def postponed(self, section: str, why: str, *names: str) -> "Plan":
        """The same without these options, which turned out not to be possible under way."""
        found = [
            change
            for change in self.changes
            if change.section == section and change.effect is Effect.APPLIED and change.option in names
        ]
        late = {change: replace(change, effect=Effect.RESTART, note=why) for change in found}
        attributes = {change.option.replace("-", "_") for change in found}
        kept = {name: getattr(getattr(self.running, section), name) for name in attributes}
        part = replace(getattr(self.config, section), **kept)
        changes = tuple(late.get(change, change) for change in self.changes)
        return replace(self, config=replace(self.config, **{section: part}), changes=changes)


def compare(running: Config, wanted: Config) -> Plan:
    """What lies between the two."""
    changes: list[Change] = []
    parts: dict[str, Any] = {}
    for title in SECTIONS:
        parts[title] = _section(title, running, wanted, changes)
    peers = _peers(running, wanted, changes)
    changes += _sessions(running.sessions, wanted.sessions)
    config = replace(wanted, peers=peers, **parts)
    before, after = set(running.peers), set(peers)
    return Plan(
        running,
        config,
        tuple(changes),
        removed=tuple(peer for peer in running.peers if peer not in after),
        added=tuple(peer for peer in peers if peer not in before),
    )


def _section(title: str, running: Config, wanted: Config, changes: list[Change]) -> Any:
    """The section's value to run with; its changes are added to the list."""
    before, after = getattr(running, title), getattr(wanted, title)
    if before == after:
        return after
    kept = {}
    was, will_be = before or TlsConfig(), after or TlsConfig()  # only [tls] may be None
    for name, attribute, about in options(type(will_be)):
        old, new = getattr(was, attribute), getattr(will_be, attribute)
        if old == new:
            continue
        effect, note = _effect(title, name, about, running, wanted)
        changes.append(Change(title, name, written(old, about), written(new, about), effect, note))
        if effect is Effect.RESTART:
            kept[attribute] = old
    return before if before is None or after is None else replace(after, **kept)


def _effect(title: str, name: str, about: Option, running: Config, wanted: Config) -> tuple[Effect, str]:
    if not about.built:
        return Effect.IGNORED, NOT_BUILT
    if name not in LIVE.get(title, ()):
        return Effect.RESTART, ""
    if title == "tls" and not (running.tls and wanted.tls):
        return Effect.RESTART, "a node changes between TLS and none only as a whole"
    if title == "tls" and running.node.name != wanted.node.name:
        return Effect.RESTART, "it goes with [node] name"
    if name == "querier-address" and running.tap.address != wanted.tap.address:
        return Effect.RESTART, "it goes with [tap] address"
    if (title, name) == ("listen", "endpoint") and running.overlay.engine == "mesh":
        return Effect.APPLIED, "neighbours hear of it over links made from now on"
    return Effect.APPLIED, NOTES.get((title, name), "")


def _peers(running: Config, wanted: Config, changes: list[Change]) -> tuple[PeerConfig, ...]:
    """The peers to run with, in the order of the file that is wanted."""
    before = {peer.name: peer.endpoint for peer in running.peers}
    after = {peer.name: peer.endpoint for peer in wanted.peers}
    own = running.node.name  # until the restart that renames us, a peer of this name would be ourselves
    for name in before | after:
        if before.get(name) != after.get(name):
            effect, note = Effect.APPLIED, ""
            if name == own:
                effect, note = Effect.RESTART, "until then this node has that name"
            changes.append(
                Change(f"peer:{name}", "endpoint", before.get(name), after.get(name), effect, note)
            )
    return tuple(peer for peer in wanted.peers if peer.name != own)


def _sessions(before: Iterable[SessionConfig], after: Iterable[SessionConfig]) -> list[Change]:
    """A section that comes or goes is one change, else each option of it."""
    was = {session.section: session for session in before}
    will_be = {session.section: session for session in after}
    changes = []
    for name in was | will_be:
        old, new = was.get(name), will_be.get(name)
        for option, attribute, about in options(SessionConfig):
            text, later = (written(getattr(each, attribute), about) if each else None for each in (old, new))
            if text != later:
                changes.append(Change(f"session:{name}", option, text, later, Effect.APPLIED))
            if not (old and new):
                break  # the first option stands for the section: its group
    return changes


def written(value: Any, about: Option) -> str:
    """A value as one would write it in node.ini, but for what is a secret."""
    if about.secret:
        return "(a secret)" if value else ""
    if value is None:
        default = about.default
        return default if default is not None and about.parse(default) is None else ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Channel):
        source = f"{ipv4.text(value.source)}@" if value.source else ""
        return source + ipv4.text(value.group)
    if isinstance(value, tuple):
        return ", ".join(written(each, about) for each in value)
    return str(value)
