"""node.ini -> one frozen value, or one line that says which option of which section is wrong.

The file is read with configparser, minus its surprises.  `%` is a plain sign, and so is DEFAULT as a
section's name.  A comment has a line of its own: half of a value may not be lost, nor half of a comment
become one, so " #" and " ;" inside a value are errors, except in free text.  An indented line continues a
list; behind anything else, or if it looks like an option, it is an error.

sections.py has the table of options; here are the file, the order, and the checks that need two options.
"""

import configparser
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from multicastmw import endpoints, literals, oversights
from multicastmw.core.admission import Admission
from multicastmw.core.sessions.directory import OF_ONE_SOURCE
from multicastmw.core.sessions.scopes import sap_group
from multicastmw.literals import did_you_mean, nearest, shown
from multicastmw.sections import (
    DEFAULT_ADDRESS,
    DEFAULT_SOCKET,
    NAMED,
    SECTIONS,
    ControlConfig,
    FastpathConfig,
    GroupsConfig,
    IgmpConfig,
    ListenConfig,
    LogConfig,
    ManholeConfig,
    NodeConfig,
    Option,
    OverlayConfig,
    PeerConfig,
    QosConfig,
    RecoveryConfig,
    SessionConfig,
    TapConfig,
    TlsConfig,
    WebConfig,
    options,
)
from multicastmw.wire import ipv4

# What we chose.
MAX_FILE = 1 << 20  # characters; more is no node.ini, but perhaps /dev/zero
MAX_LINE = 500  # characters of an error
SESSION_TEXTS = {"name": 255, "description": 1_000, "category": 64}  # bytes
LISTS: tuple[Callable[[str], object], ...] = (literals.networks, literals.pins, endpoints.clients)

CONTROL_CHARACTER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
INLINE_COMMENT = re.compile(r"\s[#;]")
LIKE_AN_OPTION = re.compile(r"\[|[\w-]+\s*=")


class ConfigError(Exception):
    """A mistake in node.ini; its text is one line: FILE: [section] option: what is wrong."""

    def __init__(self, path: str, what: str) -> None:
        line = "".join(sign if sign.isprintable() else "?" for sign in f"{path or shown(path)}: {what}")
        super().__init__(line if len(line) <= MAX_LINE else line[: MAX_LINE - 3] + "...")


@dataclass(frozen=True)
class Config:
    """All that a node is told; `tls` is None where [tls] sets nothing.

    `warnings` has a line for each option that is accepted but does nothing, or is better given.
    """

    node: NodeConfig
    tap: TapConfig
    igmp: IgmpConfig
    groups: GroupsConfig
    listen: ListenConfig
    peers: tuple[PeerConfig, ...]
    overlay: OverlayConfig
    fastpath: FastpathConfig
    recovery: RecoveryConfig
    qos: QosConfig
    tls: TlsConfig | None
    sessions: tuple[SessionConfig, ...]
    control: ControlConfig
    web: WebConfig
    manhole: ManholeConfig
    log: LogConfig
    warnings: tuple[str, ...] = ()


def load(path: str, hostname: str, may_be_empty: bool = True) -> Config:
    """What the file says; `hostname` names a node that has no name in it.  Raises ConfigError."""
    return _NodeIni(path, _content(path), may_be_empty).config(hostname)


def read(text: str, path: str, hostname: str) -> Config:
    """What a file at this path with this text would say.  Raises ConfigError."""
    return _NodeIni(path, text).config(hostname)


def _content(path: str) -> str:
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(path, "is not text in UTF-8") from None
    except ValueError:  # a NUL in the path
        raise ConfigError(path, "is not the name of a file") from None


def guess_socket(path: str, hostname: str) -> str | None:
    """Where the node of a file that `load` refuses most likely listens, a line read by itself; None: nowhere.

    The node has been started with the file as it was, so whatever is wrong by now is passed over.
    """
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            lines = file.read(MAX_FILE).split("\n")
    except (OSError, ValueError):
        return None
    section = ""
    said: dict[tuple[str, str], str] = {}
    for line in map(str.strip, lines):
        title = _Ini.SECTCRE.match(line)
        section = title["header"] if title else section
        option, equals, value = line.partition("=")
        if equals:
            said.setdefault((section, option.strip().lower()), value.strip())
    name = said.get(("node", "name")) or hostname
    try:
        socket = said.get(("control", "socket")) or DEFAULT_SOCKET
        if socket != DEFAULT_SOCKET:
            return literals.socket_path(socket)
        return literals.socket_path(DEFAULT_SOCKET.replace("NAME", literals.node_name(name)))
    except ValueError:
        return None


class _Ini(configparser.ConfigParser):
    """The dialect of INI that we read."""

    # The inherited one ignores what is behind the bracket: "[tap] device = x" lost its device.
    SECTCRE = re.compile(r"\[(?P<header>[^]]+)\]\s*([#;].*)?$")

    def __init__(self) -> None:
        super().__init__(interpolation=None, empty_lines_in_values=False, default_section="")


class _NodeIni:
    """One node.ini while it is read."""

    def __init__(self, path: str, text: str, may_be_empty: bool = True) -> None:
        self._path = path
        self._ini = _Ini()
        self._warnings: list[str] = []
        self._check_text(text)
        try:
            self._ini.read_string(text)
        except configparser.Error as error:
            raise ConfigError(path, _syntax(error, text.split("\n"))) from None
        if not may_be_empty and not self._ini.sections():
            raise ConfigError(path, "has no section at all, which a running node does not believe")

    def config(self, hostname: str) -> Config:
        for title in self._ini.sections():
            self._check_title(title)
        parts = {title: self._part(title, kind) for title, kind in SECTIONS.items()}
        named = {kind: self._named(kind) for kind in NAMED}
        parts["tls"] = self._tls(parts["tls"])
        config = self._completed(Config(**parts, peers=named["peer"], sessions=named["session"]), hostname)
        self._check_together(config)
        self._warn(config)
        return replace(config, warnings=tuple(self._warnings))

    def _check_text(self, text: str) -> None:
        if len(text) > MAX_FILE:
            raise ConfigError(self._path, f"is longer than {MAX_FILE:,} characters")
        if stray := CONTROL_CHARACTER.search(text):
            line = text.count("\n", 0, stray.start()) + 1
            raise ConfigError(self._path, f"line {line}: a control character, {stray.group()!r}")

    def _wrong(self, title: str, option: str, what: object) -> ConfigError:
        return ConfigError(self._path, f"[{_cut(title)}] {_cut(option)}: {what}")

    def _check_title(self, title: str) -> None:
        kind, colon, name = title.partition(":")
        if title in SECTIONS:
            return
        if kind not in NAMED or not colon:
            raise ConfigError(self._path, f"[{_cut(title)}]: no such section{_right_title(title)}")
        try:
            literals.node_name(name)
        except ValueError as error:
            raise ConfigError(self._path, f"[{_cut(title)}]: {error}") from None

    def _named(self, kind: str) -> tuple[Any, ...]:
        """The values of all sections [kind:NAME], in the file's order."""
        titles = [title for title in self._ini.sections() if title.startswith(kind + ":")]
        return tuple(self._part(title, NAMED[kind], title.partition(":")[2]) for title in titles)

    def _part(self, title: str, kind: type[Any], *name: str) -> Any:
        """A section's value: what the file gives, else the defaults."""
        given = dict(self._ini[title]) if title in self._ini else {}
        known = {option: (attribute, about) for option, attribute, about in options(kind)}
        for option in given:
            if option not in known:
                if option.startswith("["):
                    raise self._wrong(title, option, "a section's name has a line of its own")
                raise self._wrong(title, option, f"no such option{_right_option(option, known)}")
        values = {}
        for option, (attribute, about) in known.items():
            if option in given:
                values[attribute] = self._value(title, option, about, given[option])
            elif about.default is None:
                raise self._wrong(title, option, "is missing")
        return kind(*name, **values)

    def _value(self, title: str, option: str, about: Option, text: str) -> object:
        lines = text.split("\n")
        for line in lines[1:]:
            if about.parse not in LISTS or LIKE_AN_OPTION.match(line):
                what = "an indented line" if about.secret else f"the indented line {shown(line)}"
                why = f"{what} continues this value; options begin at the margin"
                raise self._wrong(title, option, why)
        if about.parse is not literals.free and INLINE_COMMENT.search(text):
            what = "what is behind it" if about.secret else shown(text)
            raise self._wrong(title, option, f"{what}: a comment has a line of its own")
        try:
            value = about.parse(text)
        except ValueError as error:
            raise self._wrong(title, option, error) from None
        if not about.built and about.default is not None and value != about.parse(about.default):
            self._not_built(title, option, about, value, text)
        return value

    def _not_built(self, title: str, option: str, about: Option, value: object, text: str) -> None:
        if value in about.refused:
            raise self._wrong(title, option, f"{text} is not built in this release")
        if value not in about.quiet:
            self._warnings.append(f"[{title}] {option} = {_cut(text)}: not built in this release, ignored")

    def _tls(self, tls: TlsConfig) -> TlsConfig | None:
        """All three files or none: a node that is to have TLS never talks in the clear."""
        files = {
            option: getattr(tls, attribute)
            for option, attribute, _ in options(TlsConfig)
            if attribute != "udp_in_clear"
        }
        missing = [option for option, path in files.items() if not path]
        if missing and len(missing) < len(files):
            raise self._wrong("tls", missing[0], f"is missing; {', '.join(files)} go together")
        if missing and tls.udp_in_clear:
            raise self._wrong(
                "tls", "udp-in-clear", "means nothing without certificate, private-key and authorities"
            )
        if missing:
            return None
        # Beside this file, if they are not said in full: a daemon, and who checks, may be anywhere.
        folder = os.path.dirname(os.path.abspath(self._path))
        return replace(
            tls,
            certificate=os.path.join(folder, tls.certificate),
            private_key=os.path.join(folder, tls.private_key),
            authorities=os.path.join(folder, tls.authorities),
        )

    def _completed(self, config: Config, hostname: str) -> Config:
        """Puts in what is only known here: the node's name, and the socket that is named after it."""
        try:
            name = literals.node_name(config.node.name or hostname)
        except ValueError as error:
            raise self._wrong("node", "name", f"none given, and the host's does not do: {error}") from None
        sessions = tuple(replace(each, name=each.name or each.section) for each in config.sessions)
        config = replace(config, node=NodeConfig(name), sessions=sessions)
        if config.control.socket != DEFAULT_SOCKET:
            return config
        try:
            socket = literals.socket_path(DEFAULT_SOCKET.replace("NAME", name))
        except ValueError as error:
            raise self._wrong("control", "socket", f"none given, and the name is too long: {error}") from None
        return replace(config, control=ControlConfig(socket))

    def _check_together(self, config: Config) -> None:
        for peer in config.peers:
            if peer.name == config.node.name:
                raise self._wrong(f"peer:{peer.name}", "endpoint", "this is the node's own name")
        tap, querier = config.tap.address, config.igmp.querier_address
        if tap and querier and querier == tap.ip:
            # Linux drops what claims to come from itself.
            raise self._wrong(
                "igmp", "querier-address", f"the kernel would ignore {querier}: it is the TAP's own"
            )
        admission = Admission(config.groups.allow, config.groups.deny)
        for pin in config.groups.pin:
            if not admission.admits(pin.group):
                raise self._wrong("groups", "pin", f"{ipv4.text(pin.group)} is kept out by allow and deny")

        self._check_sessions(config.sessions)
        self._check_manhole(config.manhole)

    def _check_sessions(self, sessions: tuple[SessionConfig, ...]) -> None:
        """Other nodes would not keep what is longer, or more."""
        for number, session in enumerate(sessions):
            title = f"session:{session.section}"
            if number >= OF_ONE_SOURCE:
                raise self._wrong(title, "group", f"more than {OF_ONE_SOURCE} sessions are not announced")
            for option, most in SESSION_TEXTS.items():
                if (size := len(getattr(session, option).encode())) > most:
                    raise self._wrong(
                        title, option, f"has {size} bytes, and more than {most} are not announced"
                    )

    def _check_manhole(self, manhole: ManholeConfig) -> None:
        if bool(manhole.authorized_keys) != bool(manhole.host_key):
            missing = "host-key" if manhole.authorized_keys else "authorized-keys"
            raise self._wrong("manhole", missing, "is missing; authorized-keys and host-key go together")
        if manhole.authorized_keys and not manhole.endpoint:
            raise self._wrong("manhole", "endpoint", "is missing; without it nobody logs in")

    def _warn(self, config: Config) -> None:
        admission = Admission(config.groups.allow, config.groups.deny)
        for session in config.sessions:
            group = int(session.group)
            if shut := [each for each in (group, sap_group(group)) if not admission.admits(each)]:
                self._warnings.append(
                    f"[session:{session.section}]: is not announced: [groups] keeps {ipv4.text(shut[0])} out"
                )
        self._warnings += oversights.of_overlay(config)
        self._warnings += oversights.of_recovery(config)
        if not self._ini.has_option("tap", "address"):
            self._warnings.append(
                f"[tap] address: not given, so {DEFAULT_ADDRESS}; every node needs one of its own"
            )
        if not self._ini.has_option("node", "name") and config.node.name.partition(".")[0] == "localhost":
            self._warnings.append(
                "[node] name: not given, and the host's is localhost; nodes must be named apart"
            )


def _cut(text: str) -> str:
    return shown(text)[1:-1]


def _syntax(error: configparser.Error, lines: list[str]) -> str:
    """A line for what configparser says in several."""
    match error:
        case configparser.DuplicateSectionError():
            return f"[{_cut(error.section)}]: a second time, in line {error.lineno}"
        case configparser.DuplicateOptionError():
            return f"[{_cut(error.section)}] {_cut(error.option)}: a second time, in line {error.lineno}"
        case configparser.MissingSectionHeaderError():
            return f"line {error.lineno}: {_quoted(lines[error.lineno - 1])} comes before any [section]"
        case configparser.ParsingError():
            at = error.errors[0][0]
            return f"line {at}: {_quoted(lines[at - 1])} is neither [section] nor option = value"
        case _:
            return str(error)


def _quoted(line: str) -> str:
    """A line that is wrong, or only its first word where that is the name of a secret."""
    first = (line.split() or [""])[0].strip("=:").lower()
    secret = {name for section in SECTIONS.values() for name, _, about in options(section) if about.secret}
    return f"{shown(first)} with something behind it" if first in secret else shown(line.strip())


def _right_title(wrong: str) -> str:
    """A hint at the section that was meant."""
    kind, _, name = re.sub(r"^(\w+)[\s.:]*", r"\1:", wrong.strip()).partition(":")
    near = nearest(kind, SECTIONS | NAMED)
    if near in NAMED:
        near = f"{near}:{_cut(name) or 'NAME'}"
    return did_you_mean(f"[{near}]" if near else "")


def _right_option(wrong: str, known: dict[str, Any]) -> str:
    """A hint at the option that was meant, perhaps in another section."""
    if near := nearest(wrong, known):
        return did_you_mean(near)
    homes = [title for title, kind in SECTIONS.items() if wrong in (name for name, _, _ in options(kind))]
    return did_you_mean(f"[{homes[0]}] {wrong}" if homes else "")
