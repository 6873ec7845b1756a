"""Asks a running node over its control socket: HTTP with JSON over a UNIX socket.

Every way in which that can fail is one exception with one line for people, so that a command needs
no try of its own but `except ControlError`.
"""

import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from multicastmw.cli.answer import Answer, NoAnswer

PATIENCE = 5.0  # seconds; a snapshot takes a node some milliseconds
REFUSED = 422  # HTTP status: what was asked for is understood and wrong
SILENCE = 3.0  # seconds of waiting that are not remarked upon


class ControlError(Exception):
    """The node could not be asked; the text is a line for people."""


class NodeNotRunning(ControlError):
    """Nobody listens on the control socket."""


class ControlDenied(ControlError):
    """This user may not open the control socket."""


class NodeSilent(ControlError):
    """The node listens but did not answer in time."""


class NodeRefuses(ControlError):
    """The node understood, and will not; `why` is its own line."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def _request(method: str, resource: str, body: dict[str, Any] | None) -> bytes:
    """In HTTP/1.1, which tells an end from a node that is gone."""
    head = [f"{method} {resource} HTTP/1.1", "Host: localhost", "Connection: close"]
    data = b""
    if body is not None:
        data = json.dumps(body).encode()
        head.append("Content-Type: application/json")
    if method != "GET":
        head.append(f"Content-Length: {len(data)}")
    return "\r\n".join((*head, "", "")).encode() + data


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return str(status)


def _answers(connection: socket.socket, within: float) -> bool:
    return bool(select.select([connection], [], [], within)[0])


class ControlClient:
    """One node's control socket; every question is a connection of its own.

    `mistake` is what is wrong with the node.ini that the socket was found in.  `waits` is called once, where
    an answer takes long.
    """

    waits: Callable[[], None] | None = None

    def __init__(
        self, socket_path: str | os.PathLike[str], timeout: float = PATIENCE, mistake: str = ""
    ) -> None:
        self.path = Path(socket_path)
        self.timeout = timeout
        self.mistake = mistake

    def get(self, resource: str) -> dict[str, Any]:
        """The JSON object at `resource`, such as "/status".  Raises a ControlError."""
        return self.asked(resource)()

    def asked(self, resource: str) -> Callable[[], dict[str, Any]]:
        """Asks, as `get` does; the answer is taken by the call.  Both raise a ControlError."""
        return self._ask("GET", resource, None)

    def post(self, resource: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends a JSON object, or nothing, and gives the answer's.  Raises a ControlError."""
        return self._ask("POST", resource, body)()

    def lines(self, resource: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """JSON objects as they come, each a line, until the node has said all.  Raises a ControlError."""
        with self._going_on("POST", resource, body) as answer:
            for line in answer.lines():
                if line.strip():  # an empty one says that the node is there
                    yield self._understand(resource, answer.status, line)

    def pieces(self, resource: str) -> Iterator[bytes]:
        """Bytes as they come, until the node ends.  Raises a ControlError."""
        with self._going_on("GET", resource, None) as answer:
            yield from answer.pieces()

    @contextmanager
    def _going_on(self, method: str, resource: str, body: dict[str, Any] | None) -> Iterator[Answer]:
        """For what goes on for long, unless the node refuses it."""
        with self._connected() as connection:
            connection.sendall(_request(method, resource, body))
            with self._heard(connection) as answer:
                if answer.status >= 400:
                    self._understand(resource, answer.status, answer.whole())
                yield answer

    def _ask(self, method: str, resource: str, body: dict[str, Any] | None) -> Callable[[], dict[str, Any]]:
        answer = self._asking(method, resource, body)
        next(answer)
        return lambda: next(answer)

    def _asking(self, method: str, resource: str, body: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Nothing yet, once the question is on its way, and the answer."""
        with self._connected() as connection:
            connection.sendall(_request(method, resource, body))
            yield {}
            with self._heard(connection) as answer:
                text = answer.whole()
        yield self._understand(resource, answer.status, text)

    @contextmanager
    def _heard(self, connection: socket.socket) -> Iterator[Answer]:
        self._wait(connection)
        with connection.makefile("rb") as stream:
            yield Answer(stream)

    def _wait(self, connection: socket.socket) -> None:
        if self.waits and self.timeout > SILENCE and not _answers(connection, SILENCE):
            self.waits()
            connection.settimeout(self.timeout - SILENCE)

    @contextmanager
    def _connected(self) -> Iterator[socket.socket]:
        """Whatever fails inside is a ControlError."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(self.timeout)
                connection.connect(str(self.path))
                yield connection
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NodeNotRunning(f"no node is running behind {self.path}") from error
        except PermissionError as error:
            raise ControlDenied(f"{self.path}: permission denied; ask as root or the node's user") from error
        except TimeoutError as error:
            raise NodeSilent(f"{self.path}: no answer within {self.timeout:g} s") from error
        except (OSError, NoAnswer) as error:
            raise ControlError(f"{self.path}: {error or type(error).__name__}") from error

    def _understand(self, resource: str, status: int, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text) if text else {}
        except ValueError as error:
            raise ControlError(f"{self.path}: {resource} is not JSON (HTTP {status})") from error
        if status >= 400:
            why = value.get("error") if isinstance(value, dict) else None
            if why and status == REFUSED:
                raise NodeRefuses(str(why))
            raise ControlError(f"{self.path}: {resource}: {why or _phrase(status)}")
        if not isinstance(value, dict):
            raise ControlError(f"{self.path}: {resource} is not a JSON object")
        return value
