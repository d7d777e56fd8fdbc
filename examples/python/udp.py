"""Says over UDP that a user is online, then that they are gone. Needs nothing but Python.

    python3 examples/python/udp.py [HOST:PORT]      or with the address in CHAPPE_UDP
"""

import json
import os
import socket
import sys

address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CHAPPE_UDP", "127.0.0.1:8082")
host, _, port = address.rpartition(":")


def send(sock: socket.socket, **packet) -> None:
    sock.send(json.dumps(packet).encode())


def ping(sock: socket.socket) -> dict:
    """A status is never answered, so ask once whether anybody is there. Datagrams get lost: three tries."""
    for nonce in range(1, 4):
        send(sock, packet_type="Ping", nonce=nonce)
        try:
            return json.loads(sock.recv(1200))
        except TimeoutError:
            continue
    raise TimeoutError("no pong within 3 seconds")


def main() -> None:
    family, kind, _, _, where = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind) as sock:
        sock.settimeout(1)
        sock.connect(where)
        print("pong:", ping(sock))

        # The server's presence is a lease of 30 seconds: a real beacon says this every 10.
        send(sock, packet_type="Status", user_id=1, status_data="online")
        print("sent: user 1 is online")
        send(sock, packet_type="Status", user_id=1, status_data="offline")
        print("sent: user 1 is offline")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"udp.py: {address}: {error}")
