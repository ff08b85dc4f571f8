"""Other stores' clients, driven through the same puts and gets: the half of verbs_peers.py
that needs their wheels. Each runs in a process of its own, as ours does.

usage: verbs_peer_clients.py infinistore DEVICE PORT      against a server that runs
       verbs_peer_clients.py mooncake-owner DEVICE MIB    offers memory until its input ends;
                                                          prints HOST:PORT and an address
       verbs_peer_clients.py mooncake DEVICE HOST:PORT ADDRESS

A client prints a line of JSON: put_mb_per_s and get_mb_per_s of batches of 16 x 1 MiB, and
small_us, the median time of a get of one block of 64 KiB. It fails if bytes come back wrong.
"""

import asyncio
import json
import mmap
import os
import statistics
import sys
import time

import numpy

HOST = "127.0.0.1"
BLOCKS = 16
BLOCK_BYTES = 1 << 20
SMALL_BYTES = 64 << 10
BATCH_BYTES = BLOCKS * BLOCK_BYTES
PHASE_S = 1.0
SMALL_GETS = 100


class Buffer:
    """Page-aligned memory, every page of it touched."""

    def __init__(self, size, fill=None):
        self.map = mmap.mmap(-1, size)
        self.array = numpy.frombuffer(self.map, dtype=numpy.uint8)
        self.array[:] = 0 if fill is None else fill
        self.address = self.array.ctypes.data
        self.size = size


def random_bytes():
    return numpy.random.default_rng().integers(0, 256, BATCH_BYTES, dtype=numpy.uint8)


def batches(run, prepare=lambda: None):
    """MB/s of calling `run` for PHASE_S, of the time within the calls."""
    run()
    busy = count = 0
    began = time.monotonic()
    while time.monotonic() - began < PHASE_S:
        prepare()
        start = time.monotonic()
        run()
        busy += time.monotonic() - start
        count += 1
    return count * BATCH_BYTES / busy / 1e6


def median_us(run):
    run()
    times = []
    for _ in range(SMALL_GETS):
        start = time.monotonic()
        run()
        times.append(time.monotonic() - start)
    return statistics.median(times) * 1e6


def measure(put, get, get_small, source, target, before_put=lambda: None):
    """put() and get() move the batch, get_small() its first SMALL_BYTES."""
    report = {"put_mb_per_s": batches(put, before_put), "get_mb_per_s": batches(get)}
    if not numpy.array_equal(source.array, target.array):
        raise SystemExit("a get brought other bytes than were put")
    target.array[:] = 0
    report["small_us"] = median_us(get_small)
    if not numpy.array_equal(source.array[:SMALL_BYTES], target.array[:SMALL_BYTES]):
        raise SystemExit("a small get brought other bytes than were put")
    print(json.dumps(report), flush=True)


def run_infinistore(device, port):
    import infinistore  # pylint: disable=import-outside-toplevel

    connection = infinistore.InfinityConnection(infinistore.ClientConfig(
        host_addr=HOST, service_port=int(port), connection_type=infinistore.TYPE_RDMA,
        dev_name=device, link_type=infinistore.LINK_ETHERNET, log_level="error"))
    connection.connect()
    source, target = Buffer(BATCH_BYTES, random_bytes()), Buffer(BATCH_BYTES)
    for buffer in (source, target):
        connection.register_mr(buffer.address, buffer.size)
    loop = asyncio.new_event_loop()
    places = [n * BLOCK_BYTES for n in range(BLOCKS)]
    names = [f"block{n}" for n in range(BLOCKS)]

    def put():
        loop.run_until_complete(connection.rdma_write_cache_async(
            list(zip(names, places)), BLOCK_BYTES, source.address))

    def get():
        loop.run_until_complete(connection.rdma_read_cache_async(
            list(zip(names, places)), BLOCK_BYTES, target.address))

    def get_small():
        loop.run_until_complete(connection.rdma_read_cache_async(
            [("small", 0)], SMALL_BYTES, target.address))

    loop.run_until_complete(connection.rdma_write_cache_async(
        [("small", 0)], SMALL_BYTES, source.address))
    measure(put, get, get_small, source, target,
            before_put=lambda: connection.delete_keys(names))


def mooncake_engine(device):
    from mooncake.engine import TransferEngine  # pylint: disable=import-outside-toplevel

    engine = TransferEngine()
    if engine.initialize(HOST, "P2PHANDSHAKE", "rdma", device) != 0:
        raise SystemExit("mooncake does not start")
    return engine


def registered(engine, buffer):
    if engine.register_memory(buffer.address, buffer.size) != 0:
        raise SystemExit("mooncake does not register memory")
    return buffer


def run_mooncake_owner(device, mib):
    engine = mooncake_engine(device)
    memory = registered(engine, Buffer(int(mib) << 20))
    print(f"{HOST}:{engine.get_rpc_port()} {memory.address}", flush=True)
    sys.stdin.read()


def run_mooncake(device, owner, address):
    engine = mooncake_engine(device)
    source = registered(engine, Buffer(BATCH_BYTES, random_bytes()))
    target = registered(engine, Buffer(BATCH_BYTES))
    theirs = [int(address) + n * BLOCK_BYTES for n in range(BLOCKS)]
    sizes = [BLOCK_BYTES] * BLOCKS

    def check(status):
        if status != 0:
            raise SystemExit(f"mooncake's transfer fails with {status}")

    def ours(buffer):
        return [buffer.address + n * BLOCK_BYTES for n in range(BLOCKS)]

    measure(lambda: check(engine.batch_transfer_sync_write(owner, ours(source), theirs, sizes)),
            lambda: check(engine.batch_transfer_sync_read(owner, ours(target), theirs, sizes)),
            lambda: check(engine.transfer_sync_read(owner, target.address, int(address),
                                                    SMALL_BYTES)),
            source, target)


if __name__ == "__main__":
    {"infinistore": run_infinistore, "mooncake-owner": run_mooncake_owner,
     "mooncake": run_mooncake}[sys.argv[1]](*sys.argv[2:])
    sys.stdout.flush()
    # Their libraries' threads are not all made to be joined.
    os._exit(0)
