"""Strangers who begin handshakes and end none.  `python -IS tls_flood.py JSON`, on a host.

Keys: address, port, hello (a ClientHello, in hex), callers (how many at a time), seconds.  At the end a JSON
line says how many calls there were and how many of them were answered.
"""

import json
import socket
import sys
import threading
import time
from contextlib import suppress


def main() -> None:
    told = json.loads(sys.argv[1])
    hello, where = bytes.fromhex(told["hello"]), (told["address"], told["port"])
    until = time.monotonic() + told["seconds"]
    counts = []

    def call_again_and_again() -> None:
        calls = answered = 0
        while time.monotonic() < until:
            calls += 1
            with suppress(OSError), socket.create_connection(where, 2) as sock:
                sock.sendall(hello)
                answered += bool(sock.recv(1))
        counts.append((calls, answered))

    callers = [threading.Thread(target=call_again_and_again) for _ in range(told["callers"])]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    calls, answered = map(sum, zip(*counts, strict=True))
    print(json.dumps({"calls": calls, "answered": answered}))


main()
