"""Asks a running node over its control socket: HTTP with JSON over a UNIX socket.

Every way in which that can fail is one exception with one line for people, so that a command needs
no try of its own but `except ControlError`.
"""

import http.client
import json
import os
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 5.0  # seconds; a snapshot takes a node some milliseconds
REFUSED = 422  # HTTP status: what was asked for is understood and wrong
SILENCE = 3.0  # seconds of waiting that are not remarked upon
LONGEST_ANSWER = 64 << 20  # bytes; a node of 4,096 groups answers with about one million
LONGEST_LINE = 1 << 20  # bytes of an answer in lines
PIECE = 64 << 10  # bytes that are read at once


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


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket; the host name in the request is a formality."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _answers(connection: http.client.HTTPConnection, within: float) -> bool:
    return bool(select.select([connection.sock], [], [], within)[0])


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
        return self._ask("GET", resource, None)

    def post(self, resource: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Sends a JSON object, or nothing, and gives the answer's.  Raises a ControlError."""
        return self._ask("POST", resource, body)

    def lines(self, resource: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """JSON objects as they come, each a line, until the node has said all.  Raises a ControlError."""
        with self._streaming("POST", resource, body) as answer:
            while line := answer.readline(LONGEST_LINE):
                if line.strip():  # an empty one says that the node is there
                    yield self._understand(resource, answer.status, line)

    def pieces(self, resource: str) -> Iterator[bytes]:
        """Bytes as they come, until the node ends.  Raises a ControlError."""
        with self._streaming("GET", resource, None) as answer:
            while piece := answer.read1(PIECE):
                yield piece

    @contextmanager
    def _streaming(
        self, method: str, resource: str, body: dict[str, Any] | None
    ) -> Iterator[http.client.HTTPResponse]:
        with self._connected() as connection:
            answer = self._begin(connection, method, resource, body)
            if answer.status >= 400:
                self._understand(resource, answer.status, answer.read(LONGEST_ANSWER))
            yield answer

    def _ask(self, method: str, resource: str, body: dict[str, Any] | None) -> dict[str, Any]:
        with self._connected() as connection:
            answer = self._begin(connection, method, resource, body)
            text = answer.read(LONGEST_ANSWER)
        return self._understand(resource, answer.status, text)

    def _begin(
        self, connection: "_UnixConnection", method: str, resource: str, body: dict[str, Any] | None
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json"}
        data = None if method == "GET" else b""
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        connection.request(method, resource, body=data, headers=headers)
        if self.waits and self.timeout > SILENCE and not _answers(connection, SILENCE):
            self.waits()
            connection.sock.settimeout(self.timeout - SILENCE)
        return connection.getresponse()

    @contextmanager
    def _connected(self) -> Iterator["_UnixConnection"]:
        """Whatever fails inside is a ControlError."""
        connection = _UnixConnection(str(self.path), self.timeout)
        try:
            yield connection
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NodeNotRunning(f"no node is running behind {self.path}") from error
        except PermissionError as error:
            raise ControlDenied(f"{self.path}: permission denied; ask as root or the node's user") from error
        except TimeoutError as error:
            raise NodeSilent(f"{self.path}: no answer within {self.timeout:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise ControlError(f"{self.path}: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _understand(self, resource: str, status: int, text: bytes) -> dict[str, Any]:
        try:
            value = json.loads(text) if text else {}
        except ValueError as error:
            raise ControlError(f"{self.path}: {resource} is not JSON (HTTP {status})") from error
        if status >= 400:
            why = value.get("error") if isinstance(value, dict) else None
            if why and status == REFUSED:
                raise NodeRefuses(str(why))
            raise ControlError(f"{self.path}: {resource}: {why or http.client.responses.get(status, status)}")
        if not isinstance(value, dict):
            raise ControlError(f"{self.path}: {resource} is not a JSON object")
        return value
