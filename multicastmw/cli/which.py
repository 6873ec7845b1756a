"""Which node a command is for: the one that is named, else the only one that runs here."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from multicastmw.cli.client import PATIENCE, ControlClient, ControlError, NodeRefuses
from multicastmw.cli.main import BadConfig, Failure, Target

RUN = Path("/run/mcmw")

# What we chose.
CALL = 1.0  # seconds for a socket to take a call


def control_of(target: Target, patience: float = PATIENCE) -> ControlClient:
    """The control socket of the node that is meant; raises Failure or BadConfig."""
    if target.socket is not None:
        return ControlClient(target.socket, patience)
    if target.config is not None:
        return _configured(target.config, patience)
    return ControlClient(_only_one(), patience)


def _configured(path: str, patience: float) -> ControlClient:
    """A node that was started when its file was right still runs when it is wrong."""
    from multicastmw.config import ConfigError, guess_socket, load

    mistake = ""
    try:
        found = load(path, socket.gethostname()).control.socket
    except ConfigError as error:
        mistake = str(error)
        found = guess_socket(path, socket.gethostname())
        if found is None:
            raise BadConfig(mistake) from None
    if found is None:
        raise Failure(f"{path}: [control] socket: is empty, so this node answers nobody")
    return ControlClient(found, patience, mistake)


def programs_device(status: dict[str, Any]) -> str:
    """Where this host's programs send and join: the node's TAP, or the bridge that it is a port of."""
    tap = status["tap"]
    return str((tap["gateway"] and tap["gateway"]["bridge"]) or tap["device"])


def unanswered(node: ControlClient, error: ControlError, more: str = "") -> Failure:
    """What is to be said where the node was not reached: first of all a mistake in the file that names it."""
    return BadConfig(f"{node.mistake}; and {error}") if node.mistake else Failure(f"{error}{more}")


@contextmanager
def asking(node: ControlClient) -> Iterator[None]:
    """What goes wrong meanwhile is one line for people.  Raises Failure."""
    try:
        yield
    except NodeRefuses as error:
        raise Failure(error.why) from None
    except ControlError as error:
        raise unanswered(node, error) from None


def _only_one() -> Path:
    found = sorted(RUN.glob("*.sock")) if RUN.is_dir() else []
    if len(found) > 1:  # who was killed has left one
        found = [path for path in found if _is_listened_at(path)] or found[:1]
    if not found:
        raise Failure(f"no node runs here: {RUN} has no socket; --socket PATH or -c NODE.INI names one")
    if len(found) > 1:
        names = ", ".join(path.stem for path in found[:5])
        raise Failure(f"several nodes run here ({names}); --socket PATH or -c NODE.INI says which is meant")
    return found[0]


def _is_listened_at(path: Path) -> bool:
    """Is a node behind the socket, whoever may ask it?"""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(CALL)
        try:
            asking.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # it is another user's, or busy
            return True
    return True
