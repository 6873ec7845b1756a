"""Many peers in one process: each answers at a port of its own, says Open and is there, and wants nothing.

Started by a test in a namespace as `python farm.py FIRST_PORT COUNT`; the one at FIRST_PORT + n is named pN.
"""

import asyncio
import resource
import sys

from multicastmw.core.identity import node_id
from multicastmw.wire.messages import Open, encode

PATIENCE = 3600  # seconds: nobody has to speak while a test runs


async def serve(port: int, name: str) -> asyncio.Server:
    opened = encode(Open(name, node_id(name), PATIENCE))

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(opened)
        while await reader.read(65_536):
            pass
        writer.close()

    return await asyncio.start_server(one, "127.0.0.1", port)


async def main(first: int, count: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    servers = [await serve(first + n, f"p{n}") for n in range(count)]
    await asyncio.gather(*(server.serve_forever() for server in servers))


asyncio.run(main(*map(int, sys.argv[1:])))
