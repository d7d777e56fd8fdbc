#!/usr/bin/env python3
"""What the time of a refusal tells: logins of names that are known here and of names that are not, and tokens that are wrong
at their beginning and at their end, in turns, over one connection to a server of its own.

    python3 tests/timing.py [--program target/release/chappe] [--logins 600] [--tokens 20000]

Prints for each pair the medians, the means with their standard error, and how often the one takes longer than the other
where chance would say one half. Ends with 1 if that is further from one half than chance explains (5 standard errors).
By hand, on a quiet machine: what else runs there is most of what is measured.
"""

import argparse
import http.client
import json
import math
import random
import statistics
import subprocess
import tempfile
import time

PASSWORD = "correct horse battery"


def server(program, data):
    """Starts one in token mode; the process, and where it is."""
    arguments = [program, "serve", "--auth", "token", "--data", data, "--tcp", "off", "--udp", "off"]
    process = subprocess.Popen(
        [*arguments, "--http", "127.0.0.1:0", "--print-addresses"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    host, port = json.loads(process.stdout.readline())["http"].split(":")
    return process, host, int(port)


def accounts(program, data, count):
    """Makes so many, and answers their names. Ten wrong passwords for a name are all that is taken."""
    names = [f"user {number:04}" for number in range(count)]
    for name in names:
        subprocess.run([program, "user", "add", name, "--password-stdin", "--data", data],
                       input=PASSWORD + "\n", text=True, check=True, capture_output=True)
    return names


def timed(connection, method, path, headers, body=None):
    """How long an answer takes, in microseconds. It has to be 401."""
    began = time.perf_counter_ns()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter_ns() - began) / 1000
    assert answer.status == 401, (answer.status, path)
    return took


def compare(what, one, other):
    """Prints how two lists of times differ; whether chance explains it."""
    (name_one, first), (name_other, second) = one, other
    for name, times in (one, other):
        error = statistics.stdev(times) / math.sqrt(len(times))
        print(f"{what:9} {name:22} n {len(times):6}  median {statistics.median(times):9.1f} µs"
              f"  mean {statistics.mean(times):9.1f} ± {error:.1f} µs")
    # How often the first is the longer one: the rank sum, as a share.
    ranked = sorted([(time_taken, 0) for time_taken in first] + [(time_taken, 1) for time_taken in second])
    rank_sum = sum(rank for rank, (_, which) in enumerate(ranked, 1) if which == 0)
    n, m = len(first), len(second)
    share = (rank_sum - n * (n + 1) / 2) / (n * m)
    error = math.sqrt((n + m + 1) / (12 * n * m))
    print(f"{what:9} {name_one!r} takes longer than {name_other!r} in {share:.1%} of all pairs (chance: 50.0 ± {error:.1%})")
    return abs(share - 0.5) <= 5 * error


def logins(connection, names, count):
    headers = {"Content-Type": "application/json"}
    times = {"a wrong password": [], "a name that is unknown": []}
    tries = [name for name in names for _ in range(8)][:count]
    random.shuffle(tries)
    for number, name in enumerate(tries):
        pair = [("a wrong password", name), ("a name that is unknown", f"nobd {number:04}")]
        random.shuffle(pair)
        for what, nickname in pair:
            body = json.dumps({"nickname": nickname, "password": "wrong horse batteries"})
            times[what].append(timed(connection, "POST", "/api/sessions", headers, body))
    return compare("logins", *times.items())


def tokens(connection, token, count):
    head, signature = token.rsplit(".", 1)

    def turned(letter):
        return "B" if letter == "A" else "A"

    forged = {
        "wrong at its beginning": head + "." + turned(signature[0]) + signature[1:],
        # The last letter but one: the last holds bits that do not count.
        "wrong at its end": head + "." + signature[:-2] + turned(signature[-2]) + signature[-1],
    }
    times = {what: [] for what in forged}
    for _ in range(count):
        pair = list(forged.items())
        random.shuffle(pair)
        for what, shown in pair:
            times[what].append(timed(connection, "GET", "/api/chats", {"Authorization": f"Bearer {shown}"}))
    return compare("tokens", *times.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="target/release/chappe")
    parser.add_argument("--logins", type=int, default=600)
    parser.add_argument("--tokens", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as data:
        names = accounts(arguments.program, data, -(-arguments.logins // 8))
        made = subprocess.run([arguments.program, "token", "create", "--user", "7", "--data", data],
                              text=True, check=True, capture_output=True)
        process, host, port = server(arguments.program, data)
        try:
            connection = http.client.HTTPConnection(host, port)
            fine = [logins(connection, names, arguments.logins), tokens(connection, made.stdout.strip(), arguments.tokens)]
        finally:
            process.terminate()
            process.wait()
    return 0 if all(fine) else 1


if __name__ == "__main__":
    raise SystemExit(main())
