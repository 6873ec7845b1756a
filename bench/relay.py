"""What any relay in Python comes to.  `python -IS relay.py PORT [ADDRESS PORT]...` receives and sends."""

import socket
import sys


def main() -> None:
    into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    into.bind(("", int(sys.argv[1])))
    addresses = [(address, int(port)) for address, port in zip(sys.argv[2::2], sys.argv[3::2], strict=True)]
    receive, sendto = into.recv, into.sendto
    print("ready", flush=True)
    while True:
        packet = receive(2048)
        for address in addresses:
            sendto(packet, address)


if __name__ == "__main__":
    main()
