"""Sends one message over WebSocket; prints the ack, and events until the message itself comes by.

    pip install -r examples/python/requirements.txt
    python3 examples/python/ws.py [URL]      or with the address in CHAPPE_WS
"""

import asyncio
import json
import os
import sys
import uuid

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

url = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("CHAPPE_WS", "ws://127.0.0.1:8080/ws")


async def main() -> None:
    async with connect(url, subprotocols=["chappe.v1.json"]) as socket:

        async def send(**packet) -> None:
            await socket.send(json.dumps(packet))

        # One name per message, the same for every retry: then it is stored once, however often it is sent.
        client_id = str(uuid.uuid4())
        acked = seen = False

        token = os.environ.get("CHAPPE_TOKEN")
        who = {"token": token} if token else {"user_id": 1}
        await send(packet_type="Hello", version=1, agent="example/ws.py", **who)
        async for text in socket:
            packet = json.loads(text)
            match packet["packet_type"]:
                case "Welcome":
                    # Members hear their chats anyway; this also works before the first message has made us one.
                    await send(packet_type="Subscribe", chat_ids=[1])
                    message = {"chat_id": 1, "content": "Hello from Python", "client_id": client_id}
                    await send(packet_type="SendMessage", message=message)
                case "Ack" if not packet["success"]:
                    sys.exit(f"ws.py: {packet.get('code')}: {packet['error']}")
                case "Ack" if packet.get("client_id") == client_id:
                    print("ack:", packet)
                    acked = True
                case "Error":
                    sys.exit(f"ws.py: {packet['code']}: {packet['error']}")
                case "Message":
                    print("event:", packet)
                    seen = seen or packet["message"].get("client_id") == client_id
            if acked and seen:
                return
        sys.exit("ws.py: the server closed the connection")


if __name__ == "__main__":
    try:
        asyncio.run(asyncio.wait_for(main(), timeout=10))
    except asyncio.TimeoutError:
        sys.exit(f"ws.py: {url}: no answer within 10 seconds")
    except (OSError, ValueError, WebSocketException) as error:
        sys.exit(f"ws.py: {url}: {error}")
