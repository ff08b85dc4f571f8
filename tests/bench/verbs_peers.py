"""Measures gets and puts over RDMA beside other stores, in a guest with a soft-RoCE device.

Runs inside `tools/softroce`, as `tools/bench verbs --peers` does: kvasird with `kvasir
bench`, Infinistore's server and client, and Mooncake's transfer engine in two processes
(its store is not measured: an engine moves bytes between addresses, and keeps none). All
serve in the same boot over the same device and take turns, in which the servers of the
others are stopped (SIGSTOP): some look for work without a pause, and would take a CPU from
who is measured. The first turn of each does not count, as the emulator translates its code
in it; medians of the others are compared. Batches are of 16 x 1 MiB; ours are checked
against their checksums by the reader and, as puts are committed, by the server, the others'
by nobody.

usage: verbs_peers.py FOLDER_OF_BINARIES FOLDER_OF_WHEELS
"""

import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

from verbs_bench import (SECONDS_MAX, SMALL_BYTES, Server, bandwidth, bench_command, check,
                         ratio, run)

HERE = pathlib.Path(os.path.realpath(__file__)).parent
CLIENTS = HERE / "verbs_peer_clients.py"
WHEELS = sys.argv[2]
BATCH_BLOCKS = 16
ROUNDS = 5
BLOCK_BYTES = 1 << 20
SERVICE_PORT = 22345
MANAGE_PORT = 22346
MEMORY_GIB = 1
OWNER_MIB = 64
DEVICE = "rxe0"
# GID 1 of an rxe device is its IPv4 address; without it Mooncake takes the link-local one.
VARIABLES = {**os.environ, "PYTHONPATH": WHEELS, "MC_GID_INDEX": "1",
             "PYTHONDONTWRITEBYTECODE": "1"}
COLUMNS = ("put_mb_per_s", "get_mb_per_s", "small_us")


class Peer:
    """A process of a peer that serves, until the block ends. `log` is where it writes."""

    def __init__(self, *words):
        self.words = [sys.executable, *map(str, words)]

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.words, env=VARIABLES, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def await_port(self, port):
        give_up = time.monotonic() + SECONDS_MAX
        while f":{port} " not in run("ss", "-ltn"):
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.log.seek(0)
                raise SystemExit(f"{self.words}: does not listen\n{self.log.read().decode()}")
            time.sleep(0.1)


@contextlib.contextmanager
def stopped(*servers):
    """Their processes stand still until the block ends."""
    for server in servers:
        server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for server in servers:
            server.process.send_signal(signal.SIGCONT)


def client(*words):
    """A report of one of the peers' clients, which its last line is."""
    done = subprocess.run([sys.executable, str(CLIENTS), *map(str, words)], env=VARIABLES,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{words}: status {done.returncode}\n{done.stderr.decode()}")
    return json.loads(done.stdout.decode().strip().split("\n")[-1])


def ours(server):
    batches = check(json.loads(run(*bench_command(server, [DEVICE], 1, BLOCK_BYTES,
                                                  BATCH_BLOCKS))))
    small = check(json.loads(run(*bench_command(server, [DEVICE], 1, SMALL_BYTES, 1))))
    return {"put_mb_per_s": batches["put"]["gb_per_s"] * 1000,
            "get_mb_per_s": batches["get"]["gb_per_s"] * 1000,
            "small_us": small["get"]["batch_us"]["p50"]}


def report(medians, read, write):
    print(f"{'':12} {'put MB/s':>9} {'get MB/s':>9} {'64 KiB get, p50':>16}")
    for name, row in medians.items():
        print(f"{name:12} {row['put_mb_per_s']:9.1f} {row['get_mb_per_s']:9.1f} "
              f"{row['small_us']:13.0f} us")
    print(f"{'perftest':12} {write:9.1f} {read:9.1f}")
    mine = medians.pop("kvasir")
    for column, verb in (("put_mb_per_s", "put"), ("get_mb_per_s", "get")):
        best = max(row[column] for row in medians.values())
        ratio(f"verbs_{verb}_16x1MiB_vs_best_peer", mine[column] / best, "at-least", 1.1)
    best = min(row["small_us"] for row in medians.values())
    ratio("verbs_get_64KiB_p50_vs_best_peer", mine["small_us"] / best, "at-most", 0.5)


def measure(server, store, owner, owner_address):
    """One turn of each, by name."""
    turns = {}
    with stopped(store, owner):
        turns["kvasir"] = ours(server)
    with stopped(server, owner):
        turns["infinistore"] = client("infinistore", DEVICE, SERVICE_PORT)
    with stopped(server, store):
        turns["mooncake"] = client("mooncake", DEVICE, *owner_address)
    with stopped(server, store, owner):
        turns["perftest"] = {verb: bandwidth(verb, DEVICE, DEVICE, "10.77.0.1")
                             for verb in ("read", "write")}
    return turns


def main():
    infinistore = ("-m", "infinistore.server", "--dev-name", DEVICE, "--link-type", "Ethernet",
                   "--service-port", SERVICE_PORT, "--manage-port", MANAGE_PORT,
                   "--prealloc-size", MEMORY_GIB)
    with Server([DEVICE]) as server, Peer(*infinistore) as store, \
            Peer(CLIENTS, "mooncake-owner", DEVICE, OWNER_MIB) as owner:
        owner_address = owner.process.stdout.readline().decode().split()
        store.await_port(SERVICE_PORT)
        rounds = [measure(server, store, owner, owner_address)
                  for _ in range(1 + ROUNDS)][1:]
    perftest = [turn.pop("perftest") for turn in rounds]
    report({name: {column: statistics.median(turn[name][column] for turn in rounds)
                   for column in COLUMNS} for name in rounds[0]},
           *(statistics.median(turn[verb] for turn in perftest) for verb in ("read", "write")))


if __name__ == "__main__":
    main()
