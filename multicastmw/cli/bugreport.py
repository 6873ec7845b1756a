"""`mcmw bugreport`: what somebody has to know who is to find a fault, in one file, and no secret in it."""

import json
import os
import platform
import re
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from multicastmw import __version__
from multicastmw.cli.client import ControlClient, ControlError
from multicastmw.cli.doctor import facts
from multicastmw.cli.doctor.checks import examine
from multicastmw.cli.doctor.probe import Heard
from multicastmw.cli.main import BadConfig, Failure, Target, exit_codes
from multicastmw.cli.which import control_of

# What this host says of its network; what is not installed is left out.
COMMANDS = (
    ["ip", "-details", "address"], ["ip", "route", "show", "table", "all"], ["ip", "rule"], ["ip", "neigh"],
    ["ip", "maddress"], ["nft", "list", "ruleset"], ["uname", "-a"],
)  # fmt: skip
FILES = (
    "/proc/net/igmp", "/proc/net/snmp", "/proc/net/udp", "/proc/net/dev", "/etc/os-release",
    "/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max", "/proc/sys/net/ipv4/conf/all/rp_filter",
)  # fmt: skip
PATIENCE = 10.0  # seconds for a command
MOST = 1 << 20  # bytes of one of them

SECRET = re.compile(r"(?im)^(\s*[\w-]*(?:key|token|password|secret)[\w-]*\s*[=:]\s*)(.+)$")
KEY_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL)


@click.command(epilog=exit_codes({0: "it is written", 1: "it is not, and one line says why"}))
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), default="mcmw-bugreport.zip",
    show_default=True, metavar="FILE", help="Where it is written to; a file that is there is kept.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a line.")
@click.pass_obj
def bugreport(target: Target, output: Path, as_json: bool) -> None:
    """Write what is needed to find a fault into one file.

    A zip with the node's status and events, what `mcmw doctor` finds (but for its try with a group), the
    node.ini that -c names, versions, and this host's addresses, routes, neighbours, memberships and
    firewall.  No key is in it, nor what an option whose name says key, token or password is set to; names
    and addresses are.  It is a text in the end: look before you send it.
    """
    parts = gather(target)
    try:
        with output.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in parts.items():
                archive.writestr(name, clean(text))
    except FileExistsError:
        raise Failure(f"{output} is there already; -o names another file") from None
    except OSError as error:
        raise Failure(f"{output}: {error.strerror or error}") from None
    found = {"file": str(output), "parts": sorted(parts), "bytes": output.stat().st_size}
    click.echo(json.dumps(found) if as_json else f"{output}: {len(parts)} texts, {found['bytes']:,} bytes")


def gather(target: Target) -> dict[str, str]:
    """Texts by their names; what cannot be had says why."""
    parts = {"versions.txt": _versions()}
    if target.config:
        parts["node.ini"] = _tried(partial(_read, target.config))
    try:
        parts |= _of_the_node(control_of(target))
    except (ControlError, Failure, BadConfig) as error:
        parts["status.txt"] = f"{error}\n"
    for command in COMMANDS:
        parts[f"host/{'-'.join(command).replace('--', '-')}.txt"] = _tried(partial(_said, command))
    for path in FILES:
        parts[f"host/{path.strip('/').replace('/', '-')}.txt"] = _tried(partial(_read, path))
    return parts


def clean(text: str) -> str:
    """Without what is a secret, as far as it can be told."""
    return SECRET.sub(r"\1(left out)", KEY_BLOCK.sub("(a key, left out)", text))[:MOST]


def _of_the_node(control: ControlClient) -> dict[str, str]:
    status = control.get("/status")
    checks = examine(status, facts.gather(status), Heard.NOT_TRIED)
    return {
        "status.json": _json(status),
        "events.json": _json(control.get("/events")),
        "doctor.json": _json({"checks": [check._asdict() for check in checks]}),
    }


def _json(value: Any) -> str:
    return json.dumps(value, indent=1) + "\n"


def _versions() -> str:
    lines = [f"mcmw {__version__}", f"Python {platform.python_version()}", f"uid {os.geteuid()}"]
    for required in metadata.requires("multicastmw") or []:
        name = re.split(r"[^\w.-]", required, maxsplit=1)[0]
        lines.append(f"{name} {_tried(partial(metadata.version, name))}")
    return "\n".join(lines) + "\n"


def _read(path: str) -> str:
    return Path(path).read_text(errors="replace")


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.stdout + done.stderr


def _tried(look: Callable[[], str]) -> str:
    try:
        return look()
    except (OSError, subprocess.SubprocessError, metadata.PackageNotFoundError) as error:
        return f"not to be had: {error}\n"
