"""A chat in the terminal that loses nothing: each line of the input is sent once, whatever happens to the connection or
the server, and each event is printed once, in order. Ends when the input ends and all of it is acknowledged.

    pip install -r examples/python/requirements.txt
    python3 examples/python/chat.py [URL]      or with the address in CHAPPE_WS

CHAPPE_TOKEN_FILE holds the token where the server asks for one; put a fresh one there before it runs out. Otherwise
CHAPPE_USER says who you are (1). CHAPPE_CHAT says where (1).
"""

import asyncio
import json
import os
import random
import sys
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CHAPPE_WS", "ws://127.0.0.1:8080/ws")
chat = int(os.environ.get("CHAPPE_CHAT", "1"))


def identity() -> dict:
    if file := os.environ.get("CHAPPE_TOKEN_FILE"):
        return {"token": Path(file).read_text().strip()}
    return {"user_id": int(os.environ.get("CHAPPE_USER", "1"))}


def complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Chat:
    def __init__(self) -> None:
        # What outlives a connection.
        self.last: dict[int, int] = {}  # chat → the number up to which all its events were printed
        self.head: dict[int, int] = {}  # chat → the newest heard of: where it is above `last`, events are missing
        self.unacked: dict[str, dict] = {}  # client_id → message, oldest first; sent again after every reconnect
        self.epoch: int | None = None  # names the server's log: another one means starting afresh
        self.input_ended = False
        self.attempt = 0
        self.requests = 0
        self.limits: dict = {}
        # What ends with it.
        self.socket = None
        self.ready = False
        self.in_flight: set[str] = set()  # of the unacknowledged messages those that this connection carries
        self.pulling: set[int] = set()  # chats whose missing events are on their way
        self.resets: dict[int, int] = {}  # of those the ones not kept from where we stopped → the head they had then
        self.asked: dict[int, dict] = {}  # request_id → what was asked
        self.waiting: set[asyncio.Task] = set()  # what is done in a moment

    async def ask(self, **packet) -> bool:
        """Sends a request. False where it is larger than the server takes: it would end the connection."""
        self.requests += 1
        text = json.dumps({**packet, "request_id": self.requests}, ensure_ascii=False)
        if len(text.encode()) > self.limits.get("frame_bytes", sys.maxsize):
            return False
        self.asked[self.requests] = packet
        try:
            await self.socket.send(text)
        except ConnectionClosed:
            pass  # the reader sees it too, and connects again
        return True

    def later(self, pause_ms: int, then: Callable[[], Awaitable]) -> None:
        async def wait() -> None:
            await asyncio.sleep(pause_ms / 1000)
            await then()

        task = asyncio.create_task(wait())
        self.waiting.add(task)
        task.add_done_callback(self.waiting.discard)

    async def hello(self) -> None:
        """Also said on a live connection, with a fresh token, when the old one is about to run out."""
        await self.ask(packet_type="Hello", version=1, heads=True, agent="example/chat.py", **identity())

    async def welcome(self, packet: dict) -> None:
        self.attempt = 0
        self.limits = packet["limits"]
        if self.epoch != packet["epoch"]:
            self.last.clear()
            self.head.clear()
        self.epoch = packet["epoch"]
        self.ready = True
        await self.compare(packet["heads"], packet.get("more_heads"))
        await self.flush()

    async def compare(self, chats: list[dict], has_more: bool | None) -> None:
        """What was missed is asked for in one go; a chat seen for the first time begins now."""
        for known in chats:
            self.last.setdefault(known["chat_id"], known["seq"])
            await self.heard(known["chat_id"], known["seq"])
        if has_more:
            await self.ask(packet_type="GetChats", after=chats[-1]["chat_id"], limit=500)

    async def heard(self, chat_id: int, seq: int) -> None:
        """The chat has come to `seq`: pulls what is missing, unless it is on its way."""
        self.head[chat_id] = max(seq, self.head.get(chat_id, 0))
        if chat_id not in self.pulling and self.last[chat_id] < self.head[chat_id]:
            self.pulling.add(chat_id)
            await self.ask(packet_type="GetEvents", chat_id=chat_id, after=self.last[chat_id], limit=500)

    async def pulled(self, chat_id: int, seq: int) -> None:
        self.pulling.discard(chat_id)
        await self.heard(chat_id, seq)

    async def take(self, event: dict) -> None:
        chat_id, seq = event["chat_id"], event["seq"]
        last = self.last.setdefault(chat_id, seq - 1)  # unknown: somebody made us a member
        if seq <= last:
            return  # seen already
        if event.get("prev", seq - 1) > last:
            return await self.heard(chat_id, seq)  # some are missing: they bring this one too
        self.last[chat_id] = seq
        print(json.dumps(event), flush=True)

    async def reset(self, packet: dict) -> None:
        """What came next is not kept any more. What is kept begins with the oldest message, if there is one."""
        chat_id = packet["chat_id"]
        after = self.last[chat_id]
        complain(f"chat {chat_id}: what followed event {after} is not kept any more; here is what is")
        self.resets[chat_id] = packet["head"]
        await self.ask(packet_type="GetMessages", chat_id=chat_id, after=after, limit=1)

    async def go_on(self, packet: dict) -> None:
        chat_id = packet["chat_id"]
        to = self.resets[chat_id]
        self.last[chat_id] = min([to, *(message["seq"] - 1 for message in packet["messages"])])
        await self.pulled(chat_id, to)

    async def refused(self, error: dict, question: dict | None) -> None:
        """Nothing was done: asks again where that can help."""
        if question and error["retryable"]:
            return self.later(error.get("retry_after_ms", 1000), lambda: self.ask(**question))
        complain(error["error"])
        self.pulling.discard((question or {}).get("chat_id"))

    async def acknowledged(self, ack: dict, question: dict) -> None:
        client_id = question["message"]["client_id"]
        self.in_flight.discard(client_id)
        if (pause := ack.get("retry_after_ms")) is not None:
            return self.later(pause, self.flush)  # too fast, or the disk is full: the same again
        if not ack["success"]:
            complain(f"refused: {ack['error']}")
        self.unacked.pop(client_id, None)
        await self.flush()

    async def flush(self) -> None:
        """Sends what was not sent yet, as far as the window reaches."""
        if not self.ready:
            return
        for client_id, message in list(self.unacked.items()):
            if len(self.in_flight) >= self.limits["window"] / 2:
                break
            if client_id in self.in_flight or client_id not in self.unacked:
                continue
            self.in_flight.add(client_id)
            if not await self.ask(packet_type="SendMessage", message=message):
                complain(f"not sent: \"{message['content'][:20]}…\" is longer than the server takes")
                self.in_flight.discard(client_id)
                self.unacked.pop(client_id, None)
        if self.input_ended and not self.unacked:
            await self.socket.close()

    async def handle(self, packet: dict) -> None:
        question = self.asked.pop(packet.get("request_id"), None)
        match packet["packet_type"]:
            case "Welcome":
                await self.welcome(packet)
            case "Expiring":
                await self.hello()
            case "Ack":
                await self.acknowledged(packet, question)
            case "Chats":
                await self.compare(packet["chats"], packet["has_more"])
            case "Events":
                for event in packet["events"]:
                    await self.take(event)
                await self.pulled(packet["chat_id"], packet["head"])
            case "Reset":
                await self.reset(packet)
            case "Messages":
                await self.go_on(packet)
            case "Gap":
                self.last.setdefault(packet["chat_id"], packet["from"] - 1)  # unknown: somebody made us a member
                await self.heard(packet["chat_id"], packet["to"])
            case "Error":
                await self.refused(packet, question)
            case "Read" | "Typing" | "Status" | "Presence" | "Pong":
                pass
            case _ if "seq" in packet:
                await self.take(packet)

    def disconnected(self) -> None:
        self.ready = False
        for task in self.waiting:
            task.cancel()
        for ended in (self.in_flight, self.pulling, self.resets, self.asked):
            ended.clear()

    async def run(self) -> None:
        while not (self.input_ended and not self.unacked):
            closing: dict = {}
            try:
                # The library answers the server's pings, and sends its own: a dead line is noticed.
                async with connect(url, subprotocols=["chappe.v1.json"], max_size=None) as self.socket:
                    await self.hello()
                    async for text in self.socket:
                        packet = json.loads(text)
                        if packet["packet_type"] == "Closing":
                            closing = packet
                        else:
                            await self.handle(packet)
            except (OSError, ConnectionClosed, InvalidHandshake) as error:
                complain(f"{url}: {error}")
            self.disconnected()
            if 4000 <= closing.get("code", 0) < 4100:
                sys.exit(f"chat.py: {closing['reason']}")
            # Full jitter: when a server comes back, its clients do not all return in the same instant.
            backoff = random.random() * min(10, 0.25 * 2**self.attempt)
            self.attempt += 1
            if not (self.input_ended and not self.unacked):
                await asyncio.sleep(closing.get("reconnect_after_ms", backoff * 1000) / 1000)


async def main() -> None:
    client = Chat()
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue = asyncio.Queue()

    def read() -> None:
        # Not a file's: a pipe's end, or the terminal's, is found by reading.
        for line in sys.stdin.buffer:
            try:
                loop.call_soon_threadsafe(lines.put_nowait, line.decode().rstrip("\r\n"))
            except UnicodeDecodeError:
                complain(f"not sent: {line!r} is no UTF-8")
        loop.call_soon_threadsafe(lines.put_nowait, None)

    async def write() -> None:
        while (line := await lines.get()) is not None:
            if line:
                # A name of the message's own, the same for every retry: then it is stored once, however often sent.
                client_id = str(uuid.uuid4())
                client.unacked[client_id] = {"chat_id": chat, "content": line, "client_id": client_id}
                await client.flush()
        client.input_ended = True
        await client.flush()

    threading.Thread(target=read, daemon=True).start()
    writing = asyncio.create_task(write())
    await client.run()
    await writing


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except (OSError, ValueError) as error:
        sys.exit(f"chat.py: {url}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
