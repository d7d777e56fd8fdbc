"""Reads every packet vector with a reader of its own, written from the tables in PROTOCOL.md and nothing else.

    python3 proto/vectors/check.py

Also an example of how little a client needs for the binary format. Needs nothing but Python 3.
"""

import base64
import json
import pathlib
import struct

HERE = pathlib.Path(__file__).parent

# A type is a name in READERS, a struct in STRUCTS, an enum in ENUMS, `?type` (optional) or `[type]` (a list).
MESSAGE = ("id u64, chat_id u64, seq u64, sender_id u64, content str, message_type MessageType, client_id ?str,"
           " reply_to ?u64, created_at u64, edited_at ?u64, deleted flag, signature ?Signature")
NEW_MESSAGE = ("chat_id u64, sender_id ?u64, content str, message_type MessageType, client_id ?str, reply_to ?u64,"
               " signature ?Signature")
SUMMARY = ("chat_id u64, title str, kind ChatKind, created_by ?u64, created_at u64, members u32, seq u64, read_seq u64,"
           " unread u64, last_message ?MessageBody")
IN_CHAT = "chat_id u64, seq u64, "
OF_MESSAGE = IN_CHAT + "message_id u64, message_seq u64, user_id u64, "

STRUCTS = {
    "MessageBody": MESSAGE,
    "NewMessage": NEW_MESSAGE,
    "ChatSummary": SUMMARY,
    "UserStatus": "user_id u64, status_data str, last_seen ?u64",
    "Limits": "frame_bytes u32, content_bytes u32, window u32, outbox_bytes u32, page u32, members u32,"
              " chats u32, connection_rate Rate, user_rate Rate, chat_rate Rate",
    "Rate": "per_sec u32, burst u32",
    "Head": "chat_id u64, seq u64",
    "Udp": "session str, key str",
    "Signature": "key b32, value b64",
}

REQUESTS = [
    ("Hello", "version u32, token ?str, user_id ?u64, agent ?str, heads flag, zstd flag"),
    ("SendMessage", "message NewMessage"),
    ("EditMessage", "message_id u64, content str"),
    ("DeleteMessage", "message_id u64"),
    ("React", "message_id u64, emoji str, remove bool"),
    ("MarkRead", "chat_id u64, seq u64"),
    ("GetChats", "after ?u64, limit ?u32"),
    ("GetMessages", "chat_id u64, page ?u32, per_page ?u32, before ?u64, after ?u64, limit ?u32"),
    ("GetEvents", "chat_id u64, after u64, limit ?u32"),
    ("Subscribe", "chat_ids [u64]"),
    ("Unsubscribe", "chat_ids [u64]"),
    ("Typing", "chat_id u64, user_id ?u64, status_data ?str"),
    ("Status", "user_id ?u64, status_data str"),
    ("GetPresence", "user_ids ?[u64], chat_id ?u64"),
    ("Ping", "nonce ?u64"),
]

EVENTS = [
    ("Message", MESSAGE),
    ("MessageEdited", OF_MESSAGE + "content str, edited_at u64"),
    ("MessageDeleted", OF_MESSAGE + "at u64"),
    ("Reaction", OF_MESSAGE + "emoji str, removed flag, at u64"),
    ("ChatCreated", IN_CHAT + "title str, kind ChatKind, created_by ?u64, members [u64], at u64"),
    ("ChatUpdated", IN_CHAT + "title str, deleted flag, user_id ?u64, at u64"),
    ("MemberJoined", IN_CHAT + "user_id u64, role Role, at u64"),
    ("MemberLeft", IN_CHAT + "user_id u64, at u64"),
]

PACKETS = [
    ("Welcome", "version u32, connection_id u64, user_id u64, epoch u64, server_time u64, heartbeat_ms u32,"
                " limits Limits, expires_at ?u64, heads ?[Head], more_heads flag, udp ?Udp, zstd flag"),
    ("Ack", "message_id u64, success bool, error null_or_str, code ?Code, client_id ?str, chat_id ?u64, seq ?u64,"
            " duplicate flag, retry_after_ms ?u32"),
    ("Messages", "chat_id u64, messages [MessageBody], has_more bool"),
    ("Events", "chat_id u64, events [Event], head u64"),
    ("Reset", "chat_id u64, head u64, reason str"),
    ("Gap", "chat_id u64, from u64, to u64"),
    ("Chats", "chats [ChatSummary], has_more bool"),
    ("Presence", "users [UserStatus]"),
    ("Pong", "nonce ?u64, server_time ?u64"),
    ("Error", "code Code, error str, retryable bool, retry_after_ms ?u32"),
    ("Closing", "code u16, reason str, reconnect_after_ms ?u32"),
    ("Read", "chat_id u64, user_id u64, seq u64"),
    ("Typing", "chat_id u64, user_id u64, status_data str"),
    ("Status", "user_id u64, status_data str, last_seen ?u64"),
    ("Expiring", "expires_at u64"),
    ("Event", None),
]

CODES = json.loads((HERE / "codes.json").read_text())
ENUMS = {
    "MessageType": ["Text", "Image", "File", "System", "Data"],
    "ChatKind": ["group", "direct", "open"],
    "Role": ["member", "owner"],
    "Code": [row["code"] for row in CODES["codes"]],
}
ABSENT = object()


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert self.at + count <= len(self.data), "the body is cut off"
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, layout):
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def flag(self):
        byte = self.number("<B")
        assert byte in (0, 1)
        return byte == 1

    def value(self, kind):
        if kind[0] == "?":
            return self.value(kind[1:]) if self.flag() else ABSENT
        if kind[0] == "[":
            return [self.value(kind[1:-1]) for _ in range(self.number("<Q"))]
        if kind == "Event":
            return self.tagged(EVENTS)
        if kind in ENUMS:
            return ENUMS[kind][self.number("<I")]
        if kind in STRUCTS:
            return self.fields(STRUCTS[kind])
        return READERS[kind](self)

    def fields(self, layout):
        read = ((name, self.value(kind)) for name, kind in (field.split() for field in layout.split(",")))
        return {name: value for name, value in read if value is not ABSENT}

    def tagged(self, packets):
        name, layout = packets[self.number("<I")]
        if layout is None:
            return self.tagged(EVENTS)
        fields = self.fields(layout)
        if packets is EVENTS and name == "Message":
            # In JSON a posted message repeats its chat and number where every event has them.
            fields = {"chat_id": fields["chat_id"], "seq": fields["seq"], "message": fields}
        return {"packet_type": name, **fields}


READERS = {
    "u16": lambda r: r.number("<H"),
    "u32": lambda r: r.number("<I"),
    "u64": lambda r: r.number("<Q"),
    "str": lambda r: r.take(r.number("<Q")).decode(),
    # Bytes without a length before them; base64url without padding in JSON.
    "b32": lambda r: base64.urlsafe_b64encode(r.take(32)).decode().rstrip("="),
    "b64": lambda r: base64.urlsafe_b64encode(r.take(64)).decode().rstrip("="),
    "bool": Reader.flag,
    # In JSON a flag stands only where it is true, and `error` stands always.
    "flag": lambda r: True if r.flag() else ABSENT,
    "null_or_str": lambda r: r.value("str") if r.flag() else None,
}


def main():
    count = 0
    for file, packets in [("requests", REQUESTS), ("packets", PACKETS), ("events", PACKETS)]:
        for vector in json.loads((HERE / f"{file}.json").read_text()):
            frame = bytes.fromhex(vector["frame"])
            body = bytes.fromhex(vector["body"])
            assert frame == struct.pack(">I", len(body)) + body, vector["name"]
            reader = Reader(body)
            assert reader.number("<B") == 0, vector["name"]
            request_id = reader.value("?u64")
            packet = reader.tagged(packets)
            if request_id is not ABSENT:
                packet["request_id"] = request_id
            assert reader.at == len(body), vector["name"]
            assert packet == json.loads(vector["json"]), f"{vector['name']}: {packet}"
            count += 1
    for tag, row in enumerate(CODES["codes"]):
        assert bytes.fromhex(row["tag"]) == struct.pack("<I", tag), row
    for row in CODES["close_codes"]:
        assert bytes.fromhex(row["bytes"]) == struct.pack("<H", row["number"]), row
    for row in json.loads((HERE / "signatures.json").read_text()):
        texts = [row["client_id"].encode(), row["content"].encode()]
        signed = b"chappe.v1.message\0" + struct.pack("<QQ", row["chat_id"], row["sender_id"])
        signed += b"".join(struct.pack("<I", len(text)) + text for text in texts)
        assert signed.hex() == row["signed"], row["name"]
    print(f"{count} packets read as their vectors say")


if __name__ == "__main__":
    main()
