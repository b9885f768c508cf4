"""Open pages, as far as a worker feels them: N event streams, read and thrown away. ``listeners.py HOST PORT N``.

Pages are on other computers, so this process takes no time from those that it is measured with.

Says "ready" once all have heard something, and ends with its standard input.
"""

import os
import selectors
import socket
import sys


def main(arguments: list[str]) -> int:
    if hasattr(os, "nice"):
        os.nice(19)
    host, port, count = arguments[0], int(arguments[1]), int(arguments[2])
    selector = selectors.DefaultSelector()
    silent = set()
    for _ in range(count):
        sock = socket.create_connection((host, port), 10)
        sock.sendall(f"GET /api/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        selector.register(sock, selectors.EVENT_READ)
        silent.add(sock)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return 0
            assert isinstance(key.fileobj, socket.socket)
            if not key.fileobj.recv(1 << 20):
                return 1
            if key.fileobj in silent:
                silent.discard(key.fileobj)
                if not silent:
                    print("ready", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
