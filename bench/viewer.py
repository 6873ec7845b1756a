"""A page that is open, and a scraper: reads a node's events and /metrics.  `python -IS viewer.py PORT`.

It runs until SIGTERM, says ready at the first status, and ends with an error where the node ends.
"""

import http.client
import sys
import threading
import time

EVERY = 1.0  # seconds from one scrape to the next


def scrape(port: int) -> None:
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", "/metrics")
        assert b"mcmw_" in connection.getresponse().read()
        connection.close()
        time.sleep(EVERY)


def main() -> None:
    port = int(sys.argv[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/live", headers={"Accept-Encoding": "gzip"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    threading.Thread(target=scrape, args=(port,), daemon=True).start()
    first = True
    while answer.read1(65536):
        if first:
            print("ready", flush=True)
            first = False
    sys.exit("the node has ended")


if __name__ == "__main__":
    main()
