"""A peer with a good certificate that asks for a new key, again and again, and never reads.

`python -IS key_updates.py PORT CERTIFICATE KEY`, by the system's libssl; exit code 3 where there is none.  It
ends when it is thrown out.
"""

import ctypes
import socket
import sys


def main() -> None:
    port, certificate, key = sys.argv[1:]
    try:
        ssl = ctypes.CDLL("libssl.so.3")
    except OSError:
        sys.exit(3)
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new"):
        getattr(ssl, name).restype = ctypes.c_void_p
    pointer = ctypes.c_void_p
    context = pointer(ssl.SSL_CTX_new(pointer(ssl.TLS_client_method())))
    ssl.SSL_CTX_use_certificate_file(context, certificate.encode(), 1)
    ssl.SSL_CTX_use_PrivateKey_file(context, key.encode(), 1)
    with socket.create_connection(("127.0.0.1", int(port))) as sock:
        connection = pointer(ssl.SSL_new(context))
        ssl.SSL_set_fd(connection, sock.fileno())
        if ssl.SSL_connect(connection) != 1:
            sys.exit(1)
        while ssl.SSL_key_update(connection, 1) == 1 and ssl.SSL_do_handshake(connection) == 1:
            pass


main()
