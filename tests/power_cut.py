#!/usr/bin/env python3
"""Cuts the power under a server that is being written to, and looks for what it had acknowledged.

    sudo python3 tests/power_cut.py [--server target/release/chappe] [--rounds 100] [--seed 1]

The data folder lies on an ext4 file system in a file. EXT4_IOC_SHUTDOWN stops it as a power cut does: what was not
flushed never gets there. After mounting it anew, the server must start and have every acknowledged message, once, under
its id and number, and the chat's numbers without a gap. Five rounds go over the same folder, each with a cut; in one of
four the server is just asked to stop. Beside the server a control writes to SQLite with synchronous=NORMAL: it has to
lose something, or the cuts were none and the run proves nothing.

What counts is acknowledged before the cut begins. Linux lets an fdatasync that is under way just then say that all is well
where it is not (with plain appends to a file in one of sixteen cuts), which no power cut can do.

It runs in a mount namespace of its own: whoever else makes one at that moment would keep a file system of ours, and what is
in memory of it, beyond its end.

Needs root, a loop device and e2fsprogs. Exit codes: 0 nothing acknowledged was lost; 1 something was; 2 the cuts were
none; 3 this machine cannot do it, and nothing was looked at.
"""

import argparse
import fcntl
import json
import os
import pathlib
import random
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2
WRITERS = 4
WINDOW = 32
ROUNDS_A_DISK = 5
# Set where the namespace is our own.
ALONE = "CHAPPE_POWER_CUT_ALONE"


def sh(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


class Disk:
    """An ext4 file system in a file."""

    def __init__(self, folder):
        self.image, self.mount = folder / "disk.img", folder / "disk"
        self.mount.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(512 << 20)
        sh("mkfs.ext4", "-q", "-F", str(self.image))

    def attach(self):
        sh("mount", "-o", "loop", str(self.image), str(self.mount))

    def cut(self):
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def detach(self):
        if os.path.ismount(self.mount):
            sh("umount", str(self.mount))


# What the writers send is more than the server lets one client.
RAISED = {f"CHAPPE_LIMITS_{rate}_RATE": "1000000/s burst 1000000" for rate in ["CONNECTION", "USER", "CHAT"]}


class Server:
    """A server on the disk, with free ports."""

    def __init__(self, program, data):
        any_port = "127.0.0.1:0"
        self.process = subprocess.Popen(
            [program, "serve", "--print-addresses", "--data", str(data), "--http", any_port, "--tcp", any_port,
             "--udp", "off"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | RAISED)
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server did not start: {self.process.stderr.read()}")
        # Nobody reads its log from here on; a full pipe must not hold it up.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.addresses = json.loads(line)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def history(self):
        """Every message of chat 1, by its client_id. Its events have to be numbered without a gap."""
        found, last = {}, 0
        while True:
            url = f"http://{self.addresses['http']}/api/chats/1/events?user_id=1&after={last}&limit=500"
            with urllib.request.urlopen(url, timeout=30) as answer:
                page = json.load(answer)
            for event in page["events"]:
                if event["seq"] != last + 1:
                    raise AssertionError(f"after event {last} comes {event['seq']}")
                last = event["seq"]
                message = event.get("message")
                if message is None:
                    continue
                if message["client_id"] in found:
                    raise AssertionError(f"{message['client_id']} is stored twice")
                found[message["client_id"]] = (message["id"], message["seq"])
            if last >= page["head"]:
                return found


def write(address, sender, life, acked, stop):
    """Keeps a window of messages under way; remembers what was acknowledged."""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            answers = connection.makefile("r")
            sent = 0

            def send():
                nonlocal sent
                client_id = f"{life}-writer{sender}-{sent}"
                sent += 1
                message = {"chat_id": 1, "sender_id": sender, "content": client_id, "client_id": client_id}
                packet = {"packet_type": "SendMessage", "message": message}
                connection.sendall((json.dumps(packet) + "\n").encode())

            for _ in range(WINDOW):
                send()
            while not stop.is_set():
                ack = json.loads(answers.readline() or "null")
                if ack is None:
                    return
                if ack.get("success"):
                    acked[ack["client_id"]] = (ack["message_id"], ack["seq"])
                send()
    except OSError:
        return


def control(file, committed, begun, stop):
    """Commits to SQLite with synchronous=NORMAL; remembers how far it says it came."""
    database = sqlite3.connect(file, isolation_level=None)
    try:
        # No checkpoints: they would flush, and on a busy disk the cut would come upon one most of the time.
        database.executescript(
            "PRAGMA page_size=512; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0;"
            "CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY);")
        committed[0] = database.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
        os.sync()
        begun.set()
        while not stop.is_set():
            database.execute("INSERT INTO t VALUES (?)", (committed[0] + 1,))
            committed[0] += 1
    except sqlite3.Error:
        return
    finally:
        database.close()


def round_of(program, disk, life, acked, chance):
    """Lets the server be written to, cuts the power, and looks; what of `acked` is wrong, what the control lost, and how
    many messages were acknowledged by then. `acked` is what is stored, in the end."""
    disk.attach()
    try:
        server = Server(program, disk.mount / "data")
        committed, begun, stop = [0], threading.Event(), threading.Event()
        addresses = server.addresses
        work = [(write, (addresses["tcp"], sender, life, acked, stop)) for sender in range(1, WRITERS + 1)]
        work.append((control, (str(disk.mount / "control.db"), committed, begun, stop)))
        threads = [threading.Thread(target=target, args=args, daemon=True) for target, args in work]
        for thread in threads:
            thread.start()
        if not begun.wait(60):
            raise RuntimeError("the control does not begin")
        time.sleep(chance.uniform(0.1, 0.8))
        if chance.random() < 0.25:
            server.process.terminate()
            time.sleep(chance.uniform(0, 0.1))
        promised = dict(acked)
        disk.cut()
        time.sleep(0.1)
        stop.set()
        server.kill()
        for thread in threads:
            thread.join(60)
        disk.detach()
        disk.attach()
        database = sqlite3.connect(disk.mount / "control.db")
        kept = database.execute("SELECT coalesce(max(n), 0) FROM t").fetchone()[0]
        database.close()
        server = Server(program, disk.mount / "data")
        try:
            stored = server.history()
        finally:
            server.kill()
        wrong = [name for name, place in promised.items() if stored.get(name) != place]
        # Whatever else was acknowledged was on disk or it was not: from here on it is, if it is there.
        acked.clear()
        acked.update(stored)
        return wrong, max(0, committed[0] - kept), len(promised)
    finally:
        disk.detach()


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--server", default="target/release/chappe")
    arguments.add_argument("--rounds", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=time.time_ns())
    options = arguments.parse_args()
    if os.geteuid() != 0:
        print("mounting needs root", file=sys.stderr)
        return 3
    if ALONE not in os.environ:
        os.environ[ALONE] = "yes"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    chance = random.Random(options.seed)
    lost_by_control, acknowledged, done = 0, 0, 0
    while done < options.rounds:
        with tempfile.TemporaryDirectory() as folder:
            try:
                disk = Disk(pathlib.Path(folder))
                disk.attach()
                disk.detach()
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"an ext4 file system in a file cannot be made and mounted: {error}", file=sys.stderr)
                return 3
            acked = {}
            for _ in range(min(ROUNDS_A_DISK, options.rounds - done)):
                done += 1
                before = len(acked)
                wrong, control_lost, promised = round_of(options.server, disk, done, acked, chance)
                lost_by_control += control_lost
                acknowledged += promised - before
                print(f"round {done}: {promised - before} acknowledged, {len(wrong)} lost; "
                      f"the control lost {control_lost}", flush=True)
                if wrong:
                    print("lost:", ", ".join(sorted(wrong)[:10]), f"(seed {options.seed})")
                    return 1
    print(f"{done} cuts (seed {options.seed}): 0 of {acknowledged} acknowledged messages lost; "
          f"the control lost {lost_by_control}")
    if lost_by_control == 0:
        print("the control lost nothing: the cuts were none, and this proves nothing")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
