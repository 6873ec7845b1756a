"""Somebody who speaks TLS and is no node.  `python -IS tls_stranger.py JSON`, on a host.

Keys: role ("client": calls once, "server": takes calls until it is ended), address, port, version
("TLSv1_2"), certificate and key (paths, or "").  It accepts whatever certificate it is shown.
"""

import json
import socket
import ssl
import sys
from contextlib import suppress


def main() -> None:
    told = json.loads(sys.argv[1])
    is_client = told["role"] == "client"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if is_client else ssl.PROTOCOL_TLS_SERVER)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = context.minimum_version = getattr(ssl.TLSVersion, told["version"])
    if told["certificate"]:
        context.load_cert_chain(told["certificate"], told["key"])
    where = told["address"], told["port"]
    if is_client:
        with suppress(OSError), socket.create_connection(where) as sock:
            context.wrap_socket(sock).recv(1)
        return
    with socket.create_server(where) as port:
        while True:
            sock, _ = port.accept()
            with suppress(OSError):
                context.wrap_socket(sock, server_side=True).recv(1)
            sock.close()


main()
