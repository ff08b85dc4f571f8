"""Measures gets and puts over RDMA, in a guest with soft-RoCE devices.

Runs inside `tools/softroce --awake --wire --rails 2`, as tools/bench verbs does. The real kvasird
and `kvasir bench` move 64 x 1 MiB (checksums on), perftest moves the same bytes over as
many queue pairs with the same MTU, and each comparison prints its figures and a line
"RATIO <name> <value> at-least|at-most <target>".

Emulated rxe is bound by the CPU, so what says most comes from a wire that is shaped to
80 Mbit/s. Figures are medians of alternating runs, but for the wire with a delay and the
CPU's, which are of one.

usage: verbs_bench.py FOLDER_OF_BINARIES     (with service/kvasird and client/cli/kvasir)
"""

import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BLOCKS = 64
BLOCK_BYTES = 1 << 20
SMALL_BYTES = 64 << 10
# Over which a client spreads a batch of this size (client/stripes.h).
LANES = 2
RATE_MBIT = 80
WIRE_BYTES_PER_S = RATE_MBIT * 1e6 / 8
PORT = 18515
ROUNDS = 3
# A bound for every program that this one starts.
SECONDS_MAX = 120
# Of the end of a run of gets: the samples from which the shares of the CPU come.
SHARE_WINDOW_S = (3.0, 0.7)
BINARIES = pathlib.Path(sys.argv[1])


def ratio(name, value, bound, target):
    print(f"RATIO {name} {value:.3f} {bound} {target}", flush=True)


def run(*command):
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=SECONDS_MAX, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{shlex.join(map(str, command))}: status {done.returncode}\n"
                         f"{done.stderr.decode(errors='replace')}")
    return done.stdout.decode()


class Server:
    """A kvasird on the given devices, that ends with the block."""

    def __init__(self, devices):
        self.folder = tempfile.TemporaryDirectory(prefix="verbs-bench.")
        self.ready = pathlib.Path(self.folder.name) / "ready.json"
        self.log = open(pathlib.Path(self.folder.name) / "log", "w+b")
        self.process = subprocess.Popen(
            [BINARIES / "service" / "kvasird", "--listen", "127.0.0.1:0", "--data_listen",
             "127.0.0.1:0", "--http_listen", "127.0.0.1:0", "--memory", "256MiB",
             "--transport", "rdma", "--rdma_device", ",".join(devices), "--ready_file",
             self.ready], stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        give_up = time.monotonic() + SECONDS_MAX
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.log.seek(0)
                raise SystemExit(f"kvasird did not start:\n{self.log.read().decode()}")
            time.sleep(0.05)
        self.address = json.loads(self.ready.read_text())["listen"]
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.log.close()
        self.folder.cleanup()

    def kvasir(self, *words):
        return [BINARIES / "client" / "cli" / "kvasir", "--server", self.address, "--timeout",
                f"{SECONDS_MAX}s", "-o", "json", *words]


def bench_command(server, devices, seconds, block_bytes=BLOCK_BYTES, keys=BLOCKS):
    return server.kvasir("--rdma_device", ",".join(devices), "bench", "--transport", "rdma",
                         "--block_bytes", str(block_bytes), "--keys", str(keys),
                         "--seconds", str(seconds), "--no_verify")


def check(report):
    """A report of kvasir bench, if it is one of RDMA alone and without failures."""
    if report["transport"] != "rdma":
        raise SystemExit(f"bytes moved over {report['transport']}")
    for phase in ("put", "get"):
        if report[phase]["failures"] or report[phase]["mismatches"]:
            raise SystemExit(f"{phase}: {report[phase]}")
    return report


def ours(server, devices, seconds):
    """(get, put) in MB/s."""
    report = check(json.loads(run(*bench_command(server, devices, seconds))))
    return tuple(report[phase]["gb_per_s"] * 1000 for phase in ("get", "put"))


def perftest(tool, server_device, client_device, address, *words):
    """The fields of the result line of a perftest run between two devices."""
    words = ["-x", "1", "-m", os.environ["SOFTROCE_MTU"], "-p", str(PORT), *map(str, words)]
    with subprocess.Popen([tool, "-d", server_device, *words], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as server:
        give_up = time.monotonic() + SECONDS_MAX
        while f":{PORT} " not in run("ss", "-ltn"):
            if time.monotonic() > give_up:
                raise SystemExit(f"{tool} does not listen")
        text = run(tool, "-d", client_device, *words, address)
        server.wait(SECONDS_MAX)
    lines = text.split("\n")
    heading = next(i for i, line in enumerate(lines) if line.lstrip().startswith("#bytes"))
    return [float(word) for word in lines[heading + 1].split()]


def bandwidth(verb, server_device, client_device, address, messages=BLOCKS, queue_pairs=LANES):
    """MB/s of 1 MiB messages over as many queue pairs as our lanes have for each verb."""
    fields = perftest(f"ib_{verb}_bw", server_device, client_device, address, "-q", queue_pairs,
                      "-s", BLOCK_BYTES, "-n", messages // queue_pairs, "-t", 16)
    return fields[3] * (1 << 20) / 1e6  # perftest's MB is a MiB


def shape(*words):
    run("softroce-wire", "shape", *words)


def measure_wire(left, right):
    """Shaped: get and put against perftest, against the wire, and over two rails."""
    wires = "10.1.0.1"
    with Server(left) as two_rails, Server(left[:1]) as server:
        shape("rate", f"{RATE_MBIT}mbit")
        runs = []
        for _ in range(ROUNDS):
            # With two queue pairs perftest's own requests time out on a slow wire (0.3 MB/s).
            runs.append((*ours(server, right[:1], 1),
                         bandwidth("read", left[0], right[0], wires, 32, queue_pairs=1),
                         bandwidth("write", left[0], right[0], wires, 32, queue_pairs=1),
                         *ours(two_rails, right, 1)))
        get, put, read, write, get_two, put_two = (statistics.median(column)
                                                   for column in zip(*runs))
        print(f"{RATE_MBIT} Mbit/s: get {get:.2f} MB/s, ib_read_bw {read:.2f}; "
              f"put {put:.2f}, ib_write_bw {write:.2f}")
        ratio("verbs_get_64x1MiB_80mbit_vs_ib_read_bw", get / read, "at-least", 0.97)
        ratio("verbs_put_64x1MiB_80mbit_vs_ib_write_bw", put / write, "at-least", 0.97)
        print(f"{RATE_MBIT} Mbit/s a rail, two rails: get {get_two:.2f}, put {put_two:.2f}")
        ratio("verbs_get_two_rails_vs_one", get_two / get, "at-least", 1.9)
        ratio("verbs_put_two_rails_vs_one", put_two / put, "at-least", 1.9)
        shape("rate", f"{RATE_MBIT}mbit", "delay", "2ms")
        get, put = ours(server, right[:1], 4)
        print(f"{RATE_MBIT} Mbit/s and 2 ms each way: get {get:.2f}, put {put:.2f}, "
              f"the wire {WIRE_BYTES_PER_S / 1e6:.2f}")
        ratio("verbs_get_64x1MiB_2ms_vs_wire", get * 1e6 / WIRE_BYTES_PER_S, "at-least", 0.9)
        ratio("verbs_put_64x1MiB_2ms_vs_wire", put * 1e6 / WIRE_BYTES_PER_S, "at-least", 0.9)
        run("softroce-wire", "unshape")


def measure_unshaped(server, device):
    runs = []
    for _ in range(ROUNDS):
        runs.append((*ours(server, [device], 1),
                     bandwidth("read", device, device, "10.77.0.1"),
                     bandwidth("write", device, device, "10.77.0.1")))
    get, put, read, write = (statistics.median(column) for column in zip(*runs))
    print(f"unshaped, one device: get {get:.1f} MB/s, ib_read_bw {read:.1f}; "
          f"put {put:.1f}, ib_write_bw {write:.1f}")
    ratio("verbs_get_64x1MiB_vs_ib_read_bw", get / read, "at-least", 0.9)
    ratio("verbs_put_64x1MiB_vs_ib_write_bw", put / write, "at-least", 0.9)


def measure_small(server, device):
    """A get of one block of 64 KiB: its parts are a round trip of gRPC and a READ."""
    runs = []
    for _ in range(ROUNDS):
        report = check(json.loads(run(*bench_command(server, [device], 1, SMALL_BYTES, 1))))
        ping = json.loads(run(*server.kvasir("ping", "--count", "500")))
        read = perftest("ib_read_lat", device, device, "10.77.0.1", "-s", SMALL_BYTES,
                        "-n", 300)
        runs.append((report["get"]["batch_us"]["p50"], ping["round_trip_us"]["p50"], read[4]))
    get, ping, read = (statistics.median(column) for column in zip(*runs))
    print(f"64 KiB get, p50: {get:.0f} us; control round trip {ping:.0f} us, "
          f"ib_read_lat {read:.0f} us")
    ratio("verbs_get_64KiB_p50_vs_round_trip_and_read", get / (ping + read), "at-most", 1.3)


def processor_seconds(pid):
    """User and system time of a process, in seconds, or None if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_share(server, device):
    """CPU of the server as a share of the client's. The gets are the last seconds of a run
    of kvasir bench, so the samples of that time count."""
    command = [str(word) for word in bench_command(server, [device], 4)]
    with subprocess.Popen(command, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as client:
        samples = []

        def sample():
            while client.poll() is None:
                times = processor_seconds(server.process.pid), processor_seconds(client.pid)
                samples.append((time.monotonic(), *times))
                time.sleep(0.05)

        sampler = threading.Thread(target=sample)
        sampler.start()
        text = client.stdout.read()
        client.wait(SECONDS_MAX)
        sampler.join()
    check(json.loads(text))
    end = samples[-1][0]
    gets = [row for row in samples
            if end - SHARE_WINDOW_S[0] <= row[0] <= end - SHARE_WINDOW_S[1]]
    server_s, client_s = (gets[-1][i] - gets[0][i] for i in (1, 2))
    print(f"CPU during gets: server {server_s:.2f} s, client {client_s:.2f} s")
    ratio("verbs_get_server_cpu_vs_client_cpu", server_s / client_s, "at-most", 0.05)


def main():
    left = os.environ["SOFTROCE_LEFT"].split(",")
    right = os.environ["SOFTROCE_RIGHT"].split(",")
    measure_wire(left, right)
    run("softroce-devices", "self", "1", os.environ["SOFTROCE_MTU"])
    with Server(["rxe0"]) as server:
        measure_unshaped(server, "rxe0")
        measure_small(server, "rxe0")
        measure_share(server, "rxe0")


if __name__ == "__main__":
    main()
