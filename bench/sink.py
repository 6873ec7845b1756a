"""A program that receives what source.py sends, until SIGTERM.  `python -IS sink.py JSON`, on a host.

Keys: ports: [[port, group or "", device]], out (a file).  It looks a hundred times a second: the time that
counts is the kernel's (SO_TIMESTAMPNS), so its waking up costs the machine little and the figures nothing.
The file: records of port, round, number (32 bits each), delay and arrival in ns (64 bits each, signed), in
native order.  "heard PORT" is said when a port's first datagram is there.
"""

import json
import signal
import socket
import struct
import sys
import time

HEAD = struct.Struct("!IIQ")
RECORD = struct.Struct("=IIIqq")
SO_RCVBUFFORCE, SO_TIMESTAMPNS, IP_MULTICAST_ALL = 33, 35, 49
GLANCE = 0.01


def opened(port: int, group: str, device: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    sock.bind((group, port))
    if group:
        sock.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        request = struct.pack("=4s4si", socket.inet_aton(group), bytes(4), socket.if_nametoindex(device))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    sock.setblocking(False)
    return sock


def drain(sock: socket.socket, port: int, records: bytearray, heard: set[int]) -> None:
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(2048, 64)
        except BlockingIOError:
            return
        if len(data) < HEAD.size or not ancillary:
            continue
        seconds, nanoseconds = struct.unpack("@ll", ancillary[0][2][:16])
        turn, number, sent = HEAD.unpack_from(data)
        arrived = seconds * 1_000_000_000 + nanoseconds
        records += RECORD.pack(port, turn, number, arrived - sent, arrived)
        if port not in heard:
            heard.add(port)
            print(f"heard {port}", flush=True)


def main() -> None:
    told = json.loads(sys.argv[1])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    sockets = [(opened(port, group, device), port) for port, group, device in told["ports"]]
    records, heard = bytearray(), set()
    print("ready", flush=True)
    while not ended:
        for sock, port in sockets:
            drain(sock, port, records, heard)
        time.sleep(GLANCE)
    with open(told["out"], "wb") as file:
        file.write(records)


if __name__ == "__main__":
    main()
