"""Many peers in one process: each dials a hub, says Open, keeps its link alive and answers probes.

Started by bench/crowd.py in a namespace as `python -IS peers.py JSON`; needs the standard library alone.
Keys: to [address, port], count, data (a data port each, or TCP only), state (the file that tells how many
are up), tls ([authorities, folder of NAME.pem with key and certificate] or nothing).  It runs until SIGTERM.
"""

import heapq
import json
import os
import random
import resource
import selectors
import signal
import socket
import ssl
import struct
import sys
import time

PATIENCE = 10  # seconds, in our Open; what the hub's is we are told, and it is the same
PACE = 2.0  # seconds between probes
KEEP_ALIVE = struct.pack("!BBHI", 0x10, 9, 0, 8)
PROBE = struct.Struct("!BBHIHBBQHBBQ")


def an_open(name: str, node: int, port: int, token: int) -> bytes:
    text = name.encode() + b"\0"
    objects = struct.pack("!HBB", 4 + len(text), 11, 1) + text + bytes(-len(text) % 4)
    objects += struct.pack("!HBBQ", 12, 64, 1, node) + struct.pack("!HBBHH", 8, 10, 1, 0, PATIENCE)
    if port:
        objects += struct.pack("!HBBHHQ", 16, 65, 1, port, 0, token)
    return struct.pack("!BBHI", 0x10, 6, 0x4D43, 8 + len(objects)) + objects


class Peer:
    """One link of the hub, from its other end."""

    def __init__(self, number: int, told: dict) -> None:
        self.name, self.told = f"p{number}", told
        self.hubs_token = self.probe_due = self.speak_due = 0
        self.udp = None
        if told["data"]:
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind(("", 0))
            self.udp.connect(tuple(told["to"]))
        self.tcp = socket.create_connection(tuple(told["to"]), 20)
        node = (number + 1) << 16
        if told.get("tls"):
            authorities, folder = told["tls"]
            context = ssl.create_default_context(cafile=authorities)
            context.check_hostname = False
            context.load_cert_chain(f"{folder}/{self.name}.pem", f"{folder}/{self.name}.key")
            self.tcp = context.wrap_socket(self.tcp)
            with open(f"{folder}/{self.name}.id") as file:
                node = int(file.read())
        port = self.udp.getsockname()[1] if self.udp else 0
        self.tcp.sendall(an_open(self.name, node, port, number + 1))
        answer = self.tcp.recv(65536)
        if answer[1] != 6:
            raise SystemExit(f"{self.name} is refused: {answer[:32].hex()}")
        data_port = answer.find(struct.pack("!HBB", 16, 65, 1))
        if data_port > 0:
            self.hubs_token = struct.unpack_from("!Q", answer, data_port + 8)[0]
        self.tcp.setblocking(False)
        if self.udp:
            self.udp.setblocking(False)

    def read_tcp(self) -> None:
        try:
            while True:
                if not self.tcp.recv(65536):
                    raise SystemExit(f"{self.name} was closed")
        except (BlockingIOError, ssl.SSLWantReadError):
            pass

    def read_udp(self) -> None:
        try:
            while True:
                message = self.udp.recv(2000)
                fields = PROBE.unpack(message)
                if fields[10] == 1:
                    self.udp.send(PROBE.pack(*fields[:7], self.hubs_token, 12, 71, 2, fields[11]))
        except BlockingIOError:
            pass

    def probe(self) -> None:
        clock = time.monotonic_ns()
        self.udp.send(PROBE.pack(0x10, 9, 0, 32, 12, 70, 1, self.hubs_token, 12, 71, 1, clock))


def main() -> None:
    told = json.loads(sys.argv[1])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    picker, due = selectors.DefaultSelector(), []

    def serve(until: float) -> None:
        while (now := time.monotonic()) < until:
            while due and due[0][0] <= now:
                _, number, what = heapq.heappop(due)
                if what == "probe":
                    peers[number].probe()
                    heapq.heappush(due, (now + PACE, number, what))
                else:
                    peers[number].tcp.send(KEEP_ALIVE)
                    later = now + random.uniform(PATIENCE / 4, PATIENCE * 3 / 4)
                    heapq.heappush(due, (later, number, what))
            wait = min(until, due[0][0] if due else until) - time.monotonic()
            for key, _ in picker.select(max(0, wait)):
                key.data()

    peers: list[Peer] = []
    for number in range(told["count"]):
        peer = Peer(number, told)
        peers.append(peer)
        picker.register(peer.tcp, selectors.EVENT_READ, peer.read_tcp)
        now = time.monotonic()
        heapq.heappush(due, (now + random.uniform(0, 5), number, "speak"))
        if peer.udp and peer.hubs_token:
            picker.register(peer.udp, selectors.EVENT_READ, peer.read_udp)
            heapq.heappush(due, (now + random.uniform(0, PACE), number, "probe"))
        serve(time.monotonic() + 0.005)
    with open(told["state"], "w") as file:
        file.write(str(len(peers)))
    serve(float("inf"))


if __name__ == "__main__":
    main()
