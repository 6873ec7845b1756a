"""`mcmw check NODE.INI`: what a node would do with a configuration, without running one."""

import json
import socket
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from multicastmw.cli.main import BadConfig, Target, exit_codes
from multicastmw.cli.text import card_row
from multicastmw.config import Config, ConfigError, load
from multicastmw.core.addressing import Channel
from multicastmw.core.expiry import DAY, is_void, verdict
from multicastmw.sections import TlsConfig
from multicastmw.wire import ipv4

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

SOON = 30 * DAY  # a certificate that ends before is worth a warning


@click.command(
    epilog=exit_codes(
        {
            0: "a node starts with it, though there may be warnings",
            1: "the answer could not be written",
            2: "it does not, or every link would be refused, and a line says why",
        }
    )
)
@click.argument("node_ini", metavar="[NODE.INI]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of the table.")
@click.pass_obj
def check(target: Target, node_ini: str | None, as_json: bool) -> None:
    """Read a configuration and say what it means.

    No device is opened, nothing is listened on or dialled; the files of [tls] are read.  NODE.INI is the one
    behind -c if it is left out.  A mistake is one line on stderr that names the option and its section.
    """
    path = node_ini if node_ini is not None else target.config
    if path is None:
        raise click.UsageError("which configuration? Give a NODE.INI")
    try:
        config = load(path, socket.gethostname())
    except ConfigError as error:
        raise BadConfig(str(error)) from None
    config = replace(config, warnings=config.warnings + tuple(_check_keys(path, config)))
    if as_json:
        click.echo(json.dumps(document(path, config)))
    else:
        click.echo("\n".join(report(path, config)))


def _check_keys(path: str, config: Config) -> Iterator[str]:
    """Opens what [tls] names: raises BadConfig for what ends a start or every link, gives warnings."""
    if config.tls is None:
        return
    from multicastmw.net.tls import Credentials, Files

    tls = config.tls
    try:
        credentials = Credentials(Files(tls.certificate, tls.private_key, tls.authorities))
    except PermissionError as error:
        yield f"[tls] {error.filename}: not checked, as this user may not read it; ask as root"
        return
    except OSError as error:
        raise BadConfig(f"{path}: [tls] {error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise BadConfig(f"{path}: [tls] {error}") from None
    name = config.node.name
    try:
        credentials.claim(name)
    except ValueError as error:
        raise BadConfig(f"{path}: [tls] {error}; `mcmw keys node {name}` makes one that is") from None
    now = time.time()
    if words := verdict(credentials.validity, now, SOON):
        said = f"[tls] {tls.certificate} {words}"
        if is_void(credentials.validity, now):
            raise BadConfig(f"{path}: {said}")
        yield said
    yield from _check_authorities(tls, now)


def _check_authorities(tls: TlsConfig, now: float) -> Iterator[str]:
    """Whom it trusts; a peer's certificate may be another one's than ours, so these are warnings."""
    from cryptography.x509 import load_pem_x509_certificates

    from multicastmw.net.tls import validity_of

    with open(tls.certificate, "rb") as own, open(tls.authorities, "rb") as trusted:
        last = load_pem_x509_certificates(own.read())[-1]
        authorities = load_pem_x509_certificates(trusted.read())
    if not any(_is_signed_by(last, authority) for authority in authorities):
        yield (
            f"[tls] {tls.certificate} is from none of the authorities in {tls.authorities}: nodes that trust "
            "the same ones refuse it"
        )
    for authority in authorities:
        if words := verdict(validity_of(authority), now, SOON):
            name = authority.subject.rfc4514_string()
            yield f"[tls] {tls.authorities}: the authority {name} {words}"


def _is_signed_by(certificate: "Certificate", authority: "Certificate") -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return certificate == authority
    return True


def document(path: str, config: Config) -> dict[str, Any]:
    """All that the file says, defaults included, in JSON's types."""
    values = asdict(config)
    warnings = values.pop("warnings")
    values["groups"]["pin"] = _pins(config.groups.pin)
    values["web"]["token"] = "(a secret)" if config.web.token else ""
    plain = json.loads(json.dumps(values, default=str))
    return {"ok": True, "file": path, "node": config.node.name, "config": plain, "warnings": list(warnings)}


def report(path: str, config: Config) -> Iterator[str]:
    """The same for people: lines of at most 80 columns, except where a name is longer than that."""
    yield from card_row("OK", path)
    for name, text in _rows(config):
        yield from card_row(name, text)
    for warning in config.warnings:
        yield from card_row("warning", warning)


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
    yield from _overlay_rows(config)
    for peer in config.peers:
        yield "peer", f"{peer.name} at {peer.endpoint}"
    yield "control", config.control.socket or "none"
    if config.web.endpoint:
        yield "web", config.web.endpoint + (", with a token of its own" if config.web.token else "")
    if config.manhole.endpoint:
        yield (
            "manhole",
            config.manhole.endpoint + (", with SSH keys" if config.manhole.authorized_keys else ""),
        )
    yield "log", f"{config.log.level}, {config.log.format}"


def _overlay_rows(config: Config) -> Iterator[tuple[str, str]]:
    overlay, recovery = config.overlay, config.recovery
    if overlay.engine == "mesh":
        uplink = "auto" if overlay.uplink is None else f"{overlay.uplink:,} kbit/s"
        most = "" if overlay.max_children is None else f" and {overlay.max_children:,} children at most"
        feeds = f", {overlay.feeds} feeds" if overlay.feeds > 1 else ""
        feeds += f" of {_list(overlay.feeds_groups, '')}" if feeds and overlay.feeds_groups else ""
        rotate = f", parents change every {overlay.rotate:g} s or so" if overlay.rotate else ""
        yield "overlay", f"mesh, {overlay.role}, uplink {uplink}{most}{feeds}{rotate}"
        yield "seeds", _list(overlay.seeds, "none")
    else:
        yield "overlay", "static"
    asks = f"what is lost is asked for again for {recovery.deadline:g} s" if recovery.deadline else "off"
    yield "recovery", f"{asks}, later packets wait {recovery.hold:g} s" if recovery.deadline else asks


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
