"""`mcmw check NODE.INI`: what a node would do with a configuration, without running one."""

import json
import socket
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import click

from multicastmw.cli.main import BadConfig, Target
from multicastmw.config import Config, ConfigError, load
from multicastmw.core.addressing import Channel
from multicastmw.sections import TlsConfig
from multicastmw.wire import ipv4

WIDTH = 80
INDENT = 12


@click.command()
@click.argument("node_ini", metavar="[NODE.INI]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the table.")
@click.pass_obj
def check(target: Target, node_ini: str | None, as_json: bool) -> None:
    """Read a configuration and say what it means.

    Nothing is opened, listened on or dialled.  Exit code 0: a node starts with it, though there may be
    warnings.  Exit code 2: it does not, and one line on stderr says which option of which section is wrong.
    """
    path = node_ini if node_ini is not None else target.config
    if path is None:
        raise click.UsageError("which configuration? Give a NODE.INI")
    try:
        config = load(path, socket.gethostname())
    except ConfigError as error:
        raise BadConfig(str(error)) from None
    if as_json:
        click.echo(json.dumps(document(path, config)))
    else:
        click.echo("\n".join(report(path, config)))


def document(path: str, config: Config) -> dict[str, Any]:
    """All that the file says, defaults included, in JSON's types."""
    values = asdict(config)
    warnings = values.pop("warnings")
    values["groups"]["pin"] = _pins(config.groups.pin)
    plain = json.loads(json.dumps(values, default=str))
    return {"ok": True, "file": path, "node": config.node.name, "config": plain, "warnings": list(warnings)}


def report(path: str, config: Config) -> Iterator[str]:
    """The same for people: lines of at most 80 columns, except where a name is longer than that."""
    yield from _row("OK", path)
    for name, text in _rows(config):
        yield from _row(name, text)
    for warning in config.warnings:
        yield from _row("warning", warning)


def _rows(config: Config) -> Iterator[tuple[str, str]]:
    tap, listen, groups = config.tap, config.listen, config.groups
    yield "node", config.node.name
    yield (
        "tap",
        f"{tap.device}, {tap.address or 'no address'}, MTU {tap.mtu or 'auto'}, {_floor(tap.ttl_floor)}",
    )
    yield "routes", _list(tap.groups, "none")
    yield "igmp", f"version {config.igmp.version}, a query every {config.igmp.query_interval} s"
    yield "allow", _list(groups.allow, "every group")
    yield "deny", _list(groups.deny, "none")
    yield "pin", _list(_pins(groups.pin), "none")
    udp = listen.udp_port is not None and not (config.tls and not config.tls.udp_in_clear)
    data = f"data on UDP port {listen.udp_port}" if udp else "data on TCP only"
    yield "listen", f"{listen.endpoint or 'nowhere'}, {data}"
    yield "tls", _tls(config.tls, udp)
    for peer in config.peers:
        yield "peer", f"{peer.name} at {peer.endpoint}"
    yield "control", config.control.socket or "none"
    if config.manhole.endpoint:
        yield (
            "manhole",
            config.manhole.endpoint + (", with SSH keys" if config.manhole.authorized_keys else ""),
        )
    yield "log", f"{config.log.level}, {config.log.format}"


def _row(name: str, text: str) -> list[str]:
    margin = " " * INDENT
    return textwrap.wrap(
        text, WIDTH, initial_indent=f"{name:<{INDENT}}", subsequent_indent=margin, break_on_hyphens=False
    )


def _list(items: Iterable[object], none: str) -> str:
    return ", ".join(map(str, items)) or none


def _tls(tls: TlsConfig | None, udp: bool) -> str:
    if tls is None:
        return "none, links are in the clear"
    return f"with {tls.certificate}" + (", data on UDP in the clear" if udp else "")


def _floor(ttl: int) -> str:
    return f"TTL at least {ttl}" if ttl else "TTL as sent"


def _pins(channels: Iterable[Channel]) -> list[str]:
    """Channels as one writes them in node.ini."""
    return [
        (f"{ipv4.text(channel.source)}@" if channel.source else "") + ipv4.text(channel.group)
        for channel in channels
    ]
