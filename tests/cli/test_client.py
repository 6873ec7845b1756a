"""The control socket's client: every failure is one line."""

import json
import socket
import threading
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import TestCase

from multicastmw.cli import client as module
from multicastmw.cli.client import ControlClient, ControlError, NodeNotRunning, NodeRefuses, NodeSilent


class ControlClientTests(TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        # A socket's name is short; trial's temporary folders are deep.
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.addCleanup(self.listener.close)

    def answer_with(self, answer: bytes) -> None:
        """One connection is answered; its request stands in self.request afterwards."""
        self.listener.listen()

        def serve() -> None:
            connection, _ = self.listener.accept()
            with connection:
                self.request = connection.recv(65536)
                while b"Content-Length" in self.request and not self.request.endswith(b"}"):
                    self.request += connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        self.addCleanup(thread.join)

    def json_answer(self, value: object, status: str = "200 OK") -> bytes:
        body = json.dumps(value).encode()
        return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def test_a_status_is_the_object_that_the_node_answers(self) -> None:
        self.answer_with(self.json_answer({"node": {"name": "a"}}))
        self.assertEqual(ControlClient(self.path).get("/status"), {"node": {"name": "a"}})
        self.assertTrue(self.request.startswith(b"GET /status HTTP/1.1\r\n"))

    def test_a_post_carries_its_object(self) -> None:
        self.answer_with(self.json_answer({"done": True}))
        self.assertEqual(ControlClient(self.path).post("/reload", {"deep": 1}), {"done": True})
        self.assertTrue(self.request.startswith(b"POST /reload"))
        self.assertTrue(self.request.endswith(b'{"deep": 1}'))

    def test_a_missing_socket_means_that_no_node_runs(self) -> None:
        client = ControlClient(self.path.with_name("nothing"))
        self.assertIn("no node is running", str(self.assertRaises(NodeNotRunning, client.get, "/status")))

    def test_a_socket_that_a_killed_node_left_means_that_no_node_runs(self) -> None:
        self.listener.close()
        self.assertRaises(NodeNotRunning, ControlClient(self.path).get, "/status")

    def test_a_node_that_does_not_answer_is_given_up(self) -> None:
        self.listener.listen()
        error = self.assertRaises(NodeSilent, ControlClient(self.path, timeout=0.05).get, "/status")
        self.assertIn("no answer within 0.05 s", str(error))

    def test_who_waits_for_long_can_say_so(self) -> None:
        said: list[str] = []
        self.listener.listen()
        client = ControlClient(self.path, timeout=0.1)
        client.waits = lambda: said.append("waits")
        with patch.object(module, "SILENCE", 0.01):
            self.assertRaises(NodeSilent, client.get, "/status")
        self.assertEqual(said, ["waits"])

    def test_the_nodes_own_words_are_in_the_error(self) -> None:
        self.answer_with(self.json_answer({"error": "there is no such thing"}, "404 Not Found"))
        error = self.assertRaises(ControlError, ControlClient(self.path).get, "/wine")
        self.assertIn("there is no such thing", str(error))

    def test_an_error_page_is_no_json(self) -> None:
        self.answer_with(b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\n<html>")
        error = self.assertRaises(ControlError, ControlClient(self.path).get, "/status")
        self.assertIn("HTTP 500", str(error))

    def test_whoever_else_listens_there_gives_an_error_not_a_traceback(self) -> None:
        for noise in (b"", b"\xff" * 100, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"):
            self.answer_with(noise)
            self.assertRaises(ControlError, ControlClient(self.path).get, "/status")

    def test_an_answer_that_is_no_object_is_an_error(self) -> None:
        self.answer_with(self.json_answer([1, 2]))
        self.assertRaises(ControlError, ControlClient(self.path).get, "/status")

    def test_an_answer_is_taken_later_than_asked_for(self) -> None:
        self.answer_with(self.json_answer({"late": True}))
        take = ControlClient(self.path).asked("/status")
        self.assertEqual({"late": True}, take())
        self.assertRaises(NodeNotRunning, ControlClient(self.path.with_name("nothing")).asked, "/status")

    def test_lines_are_objects_until_the_node_has_said_all(self) -> None:
        chunks = b'8\r\n{"a": 1}\r\n9\r\n\n\n{"a": 2\r\n2\r\n}\n\r\n0\r\n\r\n'
        self.answer_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        self.assertEqual([{"a": 1}, {"a": 2}], list(ControlClient(self.path).lines("/ping", {})))
        self.assertTrue(self.request.startswith(b"POST /ping HTTP/1.1\r\n"))

    def test_a_node_that_is_gone_while_it_answers_is_no_end(self) -> None:
        self.answer_with(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwine\r\n")
        pieces = ControlClient(self.path).pieces("/capture")
        self.assertEqual(b"wine", next(pieces))
        self.assertIn("cut off after 4 bytes", str(self.assertRaises(ControlError, next, pieces)))

    def test_what_is_refused_is_no_stream(self) -> None:
        self.answer_with(self.json_answer({"error": "no such group"}, "422 Unprocessable"))
        error = self.assertRaises(NodeRefuses, next, ControlClient(self.path).lines("/ping", {}))
        self.assertEqual("no such group", error.why)

    def test_what_was_cut_off_is_said_so(self) -> None:
        self.answer_with(b"HTTP/1.0 200 OK\r\ncontent-length: 100\r\n\r\n{}")
        error = self.assertRaises(ControlError, ControlClient(self.path).get, "/status")
        self.assertIn("cut off after 2 bytes", str(error))

    def test_without_a_length_the_answer_ends_where_the_connection_does(self) -> None:
        self.answer_with(b'HTTP/1.0 200 OK\r\nServer: x\r\n\r\n{"all": 1}')
        self.assertEqual({"all": 1}, ControlClient(self.path).get("/status"))
