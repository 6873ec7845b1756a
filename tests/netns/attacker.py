"""A stranger: what it does to a node's ports, as fast as it can, until it has done it so often.

Started by kit.py in a namespace as `python -IS attacker.py JSON`; needs the standard library alone.  Keys:
device (not used), state (the file that its JSON goes to), to: [address, port], how, count, and what the way
needs.  It ends by itself, and holds what it has open until SIGTERM.

    connect   connections from `sources` in turn until `count` of them were answered (a kernel whose queue is
              full forgets some that look open here); each says `says` (hex), `dribble` more bytes of it a
              second; `then` is hold, reset or close, and these need no answer
    links     `count` Opens with invented node ids (`same`: with one), from `first` on and from `source` where
              given, each held (`then`: hold) or closed
    pour      one link that says `pieces` (hex, in `file`) again and again for `seconds`
    probes    one link with a data port, and echo requests with the right token for `seconds`
    datagrams `pieces` (hex), `count` times, from `spoofed` [address, port] where given; 50 every 5 ms, or
              `dense`: 1,000
"""

import contextlib
import json
import os
import resource
import selectors
import signal
import socket
import struct
import sys
import time

TOLD_EVERY = 0.05
KEEP_ALIVE = struct.pack("!BBHI", 0x10, 9, 0, 8)
OPENING_MAX = 200  # connections under way at once: as many as a kernel answers without dropping most
ANSWER_MAX = 10.0  # s for the first word to a caller, twice what an Open may take; then it is forgotten


def an_open(name: str, node: int, port: int = 0) -> bytes:
    """An Open, written by hand: header, PEPID, Node, Keep Alive Timer, and a Data Port where there is one."""
    text = name.encode() + b"\0"
    objects = struct.pack("!HBB", 4 + len(text), 11, 1) + text + bytes(-len(text) % 4)
    objects += struct.pack("!HBBQ", 12, 64, 1, node) + struct.pack("!HBBHH", 8, 10, 1, 0, 3600)
    if port:
        objects += struct.pack("!HBBHHQ", 16, 65, 1, port, 0, 0x5151)
    return struct.pack("!BBHI", 0x10, 6, 0x4D43, 8 + len(objects)) + objects


class Attack:
    """What was told, and what has become of it."""

    def __init__(self, told: dict) -> None:
        self.told = told
        if "file" in told:
            with open(told["file"]) as file:
                told["pieces"] = json.load(file)
        self.to = (told["to"][0], told["to"][1])
        self.counts = {"done": False, "began": time.monotonic(), "opened": 0, "failed": 0, "closed": 0,
                       "forgotten": 0, "reset": 0, "sent": 0, "received": 0, "codes": {}}  # fmt: skip
        self._said_at = self.stayed = 0.0
        self.held: list[socket.socket] = []

    def say(self, now: bool = False) -> None:
        if not now and time.monotonic() - self._said_at < TOLD_EVERY:
            return
        self._said_at = time.monotonic()
        new = self.told["state"] + ".new"
        with open(new, "w") as file:
            json.dump({**self.counts, "ended": time.monotonic()}, file)
        os.replace(new, self.told["state"])

    def code(self, data: bytes) -> None:
        """Counts the Error of a Close that may end what was received."""
        at = 0
        while at + 8 <= len(data):
            op, size = data[at + 1], struct.unpack_from("!I", data, at + 4)[0]
            if op == 8 and at + 16 <= len(data):
                key = "{}/{}".format(*struct.unpack_from("!HH", data, at + 12))
                self.counts["codes"][key] = self.counts["codes"].get(key, 0) + 1
            if size < 8:
                return
            at += size

    # --- the ways

    def connect(self) -> None:
        says = bytes.fromhex(self.told.get("says", ""))
        sources, then = self.told.get("sources") or [""], self.told.get("then", "hold")
        dribble, count = self.told.get("dribble", 0), self.told["count"]
        picker = selectors.DefaultSelector()
        begun, next_byte, positions = 0, 0.0, {}
        waiting: dict[socket.socket, float] = {}  # until when each is waited for, the oldest first
        until = time.monotonic() + self.told.get("seconds", 60)
        while time.monotonic() < until and (
            begun < count + self.counts["forgotten"] or waiting or (dribble and positions)
        ):
            now = time.monotonic()
            while waiting and waiting[first := next(iter(waiting))] <= now:
                del waiting[first]
                positions.pop(first, None)
                self.counts["forgotten"] += 1
                self.over(picker, first)
            while begun < count + self.counts["forgotten"] and len(waiting) < OPENING_MAX:
                caller = socket.socket()
                caller.setblocking(False)
                if sources[0]:
                    caller.bind((sources[begun % len(sources)], 0))
                caller.connect_ex(self.to)
                picker.register(caller, selectors.EVENT_WRITE, b"")
                waiting[caller], begun = now + ANSWER_MAX, begun + 1
            for key, mask in picker.select(0.05):
                caller = key.fileobj
                if mask & selectors.EVENT_WRITE:
                    if caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        del waiting[caller]
                        self.counts["failed"] += 1
                        self.over(picker, caller)
                        continue
                    self.counts["opened"] += 1
                    if then != "hold":
                        del waiting[caller]
                        if then == "reset":
                            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        self.over(picker, caller)
                        continue
                    if dribble:
                        positions[caller] = 0
                    elif says:
                        self.send(caller, says)
                    picker.modify(caller, selectors.EVENT_READ, b"")
                else:
                    waiting.pop(caller, None)
                    try:
                        data = caller.recv(65536)
                    except OSError:
                        data = b""
                        self.counts["reset"] += 1
                    if not data:
                        self.counts["closed"] += 1
                        self.code(key.data)
                        positions.pop(caller, None)
                        self.over(picker, caller)
                    else:
                        picker.modify(caller, selectors.EVENT_READ, key.data + data)
            if dribble and time.monotonic() >= next_byte:
                next_byte = time.monotonic() + 1 / dribble
                for caller, at in positions.items():
                    self.send(caller, says[at : at + 1])
                    positions[caller] = min(at + 1, len(says) - 2)
            self.say()
        self.held += [key.fileobj for key in picker.get_map().values()]

    def over(self, picker: selectors.BaseSelector, caller: socket.socket) -> None:
        picker.unregister(caller)
        caller.close()

    def send(self, caller: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.counts["sent"] += caller.send(data)

    def dial(self, says: bytes = b"") -> socket.socket:
        caller = socket.create_connection(self.to, 10, (self.told.get("source", ""), 0))
        self.counts["opened"] += 1
        caller.sendall(says)
        return caller

    def links(self) -> None:
        first = self.told.get("first", 0)
        for number in range(first, first + self.told["count"]):
            node = 0x7000_0000_0000_0000 | (1 if self.told.get("same") else number + 1) << 16
            name = "again" if self.told.get("same") else f"invented-{number}"
            try:
                caller = self.dial(an_open(name, node))
                self.answer(caller)
            except OSError:
                self.counts["failed"] += 1
                continue
            if self.told.get("then") == "hold":
                self.held.append(caller)
            else:
                caller.close()
            self.stay()
            self.say()
        until = time.monotonic() + self.told.get("seconds", 0)
        while time.monotonic() < until:
            self.stay()
            time.sleep(0.05)

    def stay(self) -> None:
        """A keep-alive on each that is held, every two seconds; what is said to them is not read."""
        if time.monotonic() - self.stayed > 2:
            self.stayed = time.monotonic()
            for held in self.held:
                self.send(held, KEEP_ALIVE)

    def answer(self, caller: socket.socket) -> bytes:
        """Waits until the node has said its Open: the link is up at its side then, or refused soon."""
        data = caller.recv(65536)
        self.counts["received"] += len(data)
        self.code(data)
        return data

    def pour(self) -> None:
        data = b"".join(bytes.fromhex(piece) for piece in self.told["pieces"])
        caller = self.dial(an_open("pourer", 0x7100_0000_0000_0000))
        said, until = b"", time.monotonic() + self.told["seconds"]
        caller.settimeout(0.2)
        at = 0
        while time.monotonic() < until:
            try:
                sent = caller.send(data[at : at + 65536])
                self.counts["sent"] += sent
                at = (at + sent) % len(data)
            except TimeoutError:
                pass
            except OSError:
                break
            self.say()
        caller.settimeout(5)
        try:
            while piece := caller.recv(65536):
                said = (said + piece)[-200_000:]
                if time.monotonic() > until + 3:
                    break
        except OSError:
            self.counts["reset"] += 1
        self.code(said)

    def probes(self) -> None:
        flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        flood.bind(("", 0))
        caller = self.dial(an_open("prober", 0x7200_0000_0000_0000, flood.getsockname()[1]))
        data = self.answer(caller)
        token = struct.unpack_from("!Q", data, data.index(struct.pack("!HBB", 16, 65, 1)) + 8)[0]
        flood.connect(self.to)
        flood.setblocking(False)
        until, number = time.monotonic() + self.told["seconds"], 0
        while time.monotonic() < until:
            number += 1
            probe = struct.pack("!BBHIHBBQHBBQ", 0x10, 9, 0, 32, 12, 70, 1, token, 12, 71, 1, number)
            with contextlib.suppress(OSError):
                self.counts["sent"] += len(flood.send(probe) * b" ")
            try:
                while True:
                    self.counts["received"] += len(flood.recv(2000))
            except OSError:
                pass
            if not number % 50:
                time.sleep(0.002)
                self.say()
        self.held.append(caller)

    def datagrams(self) -> None:
        pieces = [bytes.fromhex(piece) for piece in self.told["pieces"]]
        spoofed = self.told.get("spoofed")
        kind = (socket.SOCK_RAW, socket.IPPROTO_RAW) if spoofed else (socket.SOCK_DGRAM, 0)
        flood = socket.socket(socket.AF_INET, *kind)
        batch = 1000 if self.told.get("dense") else 50
        for number in range(self.told["count"]):
            piece = pieces[number % len(pieces)]
            try:
                flood.sendto(self.dressed(piece, spoofed) if spoofed else piece, self.to)
                self.counts["sent"] += 1
            except OSError:
                self.counts["failed"] += 1
            if not number % batch:
                time.sleep(0.005)
                self.say()

    def dressed(self, payload: bytes, spoofed: list) -> bytes:
        """Under IP and UDP headers of another's address."""
        udp = struct.pack("!HHHH", spoofed[1], self.to[1], 8 + len(payload), 0)
        source, target = socket.inet_aton(spoofed[0]), socket.inet_aton(self.to[0])
        ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, source, target)
        return ip + udp + payload


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack = Attack(json.loads(sys.argv[1]))
    attack.say(now=True)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    getattr(attack, attack.told["how"])()
    attack.counts["done"] = True
    attack.say(now=True)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
