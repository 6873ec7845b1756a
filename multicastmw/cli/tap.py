"""`mcmw tap remove`: takes away the device that a node left behind for its programs."""

import json

import click

from multicastmw.cli.main import BadConfig, Failure, Target, exit_codes
from multicastmw.net import netlink


@click.group(epilog=exit_codes({}))
def tap() -> None:
    """Look after the TAP device."""


@tap.command(epilog=exit_codes({0: "it is gone", 1: "it is not, and one line says why"}))
@click.argument("device", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a line.")
@click.pass_obj
def remove(target: Target, device: str | None, as_json: bool) -> None:
    """Remove a TAP that a node has made.

    A node leaves its TAP in place when it ends, so that programs keep their memberships.  This removes it:
    DEVICE, or the one that -c NODE.INI names, or mcmw0.  A device that no node has made, or that a running
    node holds, is left alone.
    """
    name = device or _configured(target.config)
    if not netlink.exists(name):
        raise Failure(f"there is no {name}")
    links = netlink.Netlink()
    try:
        if not links.is_ours(name):
            raise Failure(f"{name} was not made by a node; `ip link del {name}` removes it")
        _release(name)
    except OSError as error:
        raise Failure(f"{name}: {_why(error)}") from None
    finally:
        links.close()
    click.echo(json.dumps({"removed": name}) if as_json else f"{name} is removed")


def _configured(path: str | None) -> str:
    if path is None:
        return "mcmw0"
    import socket

    from multicastmw.config import ConfigError, load

    try:
        return load(path, socket.gethostname()).tap.device
    except ConfigError as error:
        raise BadConfig(str(error)) from None


def _release(name: str) -> None:
    """A TAP that does not persist goes when its last holder closes it; a node that holds it is EBUSY."""
    from multicastmw.net.tap import TapDevice

    held = TapDevice(name)
    held.persist(False)
    held.close()


def _why(error: OSError) -> str:
    if error.errno == 16:  # EBUSY
        return "a running node holds it; end that first"
    return error.strerror or str(error)
