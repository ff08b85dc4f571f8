"""A guest: QEMU, its shares, and the ports over which it talks.

The command's standard output and error come over virtio ports of their own, byte for
byte; a third port carries the guest's words about how far it is (see `start`), so nothing
that a command prints can be taken for them. The serial console is for the kernel alone.

Two guests have a network between them: each QEMU has an end of a pair of datagram sockets.
The runner keeps both ends, to lose what comes to a guest that is stopped or dead. By one
more port a guest asks for what is to be done to the other (see `softroce-peer`).
"""

import ctypes
import functools
import os
import selectors
import signal
import socket
import subprocess
import time

# From power-on to the first console line, and to the start of the command: 2 s and 4 s on an
# idle machine, five times as much on a busy one. About 1 boot in 40 hangs before its first
# line.
FIRST_LINE_SECONDS_MAX = 30
BOOT_SECONDS_MAX = 90
BOOT_ATTEMPTS_MAX = 3
# From the command's end to power-off.
POWER_OFF_SECONDS_MAX = 10
# The most that RoCE's MTU of 4096 needs, headers included.
NETWORK_MTU = 4200
# Beyond what the kernel queues on a datagram socket (net.unix.max_dgram_qlen, 10 or 512).
FRAMES_QUEUED_MAX = 1024
CONSOLE_TAIL_BYTES = 64 << 10
READ_BYTES = 64 << 10

KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off "
    # Without these the clock is the emulated HPET, at a microsecond a reading.
    "tsc=reliable clocksource=tsc "
    # "rep movsb" is slow under emulation: without it copies are 1.7 times as fast.
    "clearcpuid=erms,rep_good")
# Halting and waking an emulated CPU takes longer than much that happens between the two.
AWAKE_ARGUMENT = " idle=poll"

PORTS = ("console", "control", "stdout", "stderr")
# Where there is another guest: one line asks for what is done to it, one line answers.
PEER_PORT = "peer"


class BootHung(Exception):
    """The guest did not reach the command: nothing of it has run."""


class GuestFailed(Exception):
    """The guest cannot run the command, or ended without telling how it went."""


class TimeLimit(Exception):
    """The command ran for longer than it may."""


def escape(path):
    """A path as the value of a QEMU option."""
    return str(path).replace(",", ",,")


def share(tag, path, *flags):
    """QEMU's options for a folder of the host that the guest mounts by its tag."""
    options = ",".join(("local", f"id={tag}", f"path={escape(path)}",
                        "security_model=none", "multidevs=remap", *flags))
    return ["-fsdev", options, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def die_with_parent():
    """In the child: QEMU does not outlive a runner that is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Guest:
    """Boots, relays the output, and knows the command's exit status.

    `settings` has: image, run_folder, out_folder (or None), memory_mib, smp, awake,
    time_limit_s, qemu. `stdout` and `stderr` are file descriptors to write to; `say` tells
    the user a line; `clock` tells seconds. Call run(), below.
    """

    def __init__(self, settings, stdout, stderr, say, clock=time.monotonic):
        self.settings = settings
        self.clock = clock
        self.say = say
        self.sinks = {"stdout": stdout, "stderr": stderr}
        self.selector = None
        self.peer = None  # the other guest
        self.network = None  # this guest's end of the network
        self.process = None
        self.ports = {}
        self.boots = 0
        self.down = None  # why, in a word, where it was asked for
        self._reset()

    def _reset(self):
        self.console = b""
        self.words = b""
        self.request = b""
        self.running = False
        self.status = None
        self.phase_began = self.clock()

    def check(self):
        """Boots again where a boot hangs. Raises BootHung for the last of them, TimeLimit,
        or GuestFailed if the guest has ended by itself and without a status."""
        try:
            self._check_time()
        except BootHung as hung:
            if self.boots == BOOT_ATTEMPTS_MAX:
                raise
            self.say(f"boot {self.boots} of at most {BOOT_ATTEMPTS_MAX} {hung}; "
                     "nothing has run yet: booting again")
            self.kill()
            self.start()
        if not self.ports and self.status is None and self.down != "kill":
            raise GuestFailed(f"the guest ended without an exit status{self._last_words()}")

    def over(self):
        """Whether the guest has told all, and is off or should be by now."""
        spent = self.clock() - self.phase_began
        return self.status is not None and (not self.ports or spent > POWER_OFF_SECONDS_MAX)

    def _command_line(self, fds):
        settings = self.settings
        line = [
            settings.qemu, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-m", str(settings.memory_mib), "-smp", str(settings.smp),
            "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
            "-kernel", str(settings.image / "vmlinux"),
            "-initrd", str(settings.image / "initrd"), "-append",
            KERNEL_ARGUMENTS + (AWAKE_ARGUMENT if settings.awake else ""),
            *share("host", "/", "readonly=on"),
            *share("run", settings.run_folder, "readonly=on"),
        ]
        if settings.out_folder:
            line += share("out", settings.out_folder)
        for name in fds:
            line += ["-chardev", f"socket,id={name},fd={fds[name]}"]
        line += ["-serial", "chardev:console", "-device", "virtio-serial-pci"]
        for name in list(fds)[1:]:
            line += ["-device", f"virtserialport,chardev={name},name={name}"]
        if self.network:
            line += ["-netdev", f"dgram,id=net,local.type=fd,local.str={self.network.fileno()}",
                     "-device", f"virtio-net-pci,netdev=net,mac={settings.mac},"
                     f"host_mtu={NETWORK_MTU},romfile="]
        return line

    def start(self):
        """Powers it on, for the first time or again."""
        self._reset()
        self.boots += 1
        theirs = {}
        for name in PORTS + ((PEER_PORT,) if self.peer else ()):
            self.ports[name], theirs[name] = socket.socketpair()
            self.selector.register(self.ports[name], selectors.EVENT_READ,
                                   functools.partial(self._read, name))
        fds = {name: end.fileno() for name, end in theirs.items()}
        passed = [*fds.values(), *([self.network.fileno()] if self.network else [])]
        self.process = subprocess.Popen(
            self._command_line(fds), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, pass_fds=passed, start_new_session=True,
            preexec_fn=die_with_parent)
        for end in theirs.values():
            end.close()

    def kill(self):
        """Powers it off, whatever it is doing."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.process.stderr.close()
        for name in list(self.ports):
            self._close(name)

    def _close(self, name):
        port = self.ports.pop(name)
        self.selector.unregister(port)
        port.close()

    def _read(self, name, port):
        data = self._receive(port)
        if data:
            self._take(name, data)
        else:
            self._close(name)

    def obey(self, word):
        """Does to this guest what the other one asks for, and returns the answer."""
        if not self.running or self.status is not None or self.down == "kill":
            return "its command does not run"
        if word == "kill":
            self.process.kill()
            self.process.wait()
        elif word == "stop" and not self.down:
            self.process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        elif word == "cont" and self.down:
            self._lose(self.network)
            self.selector.unregister(self.network)
            self.process.send_signal(signal.SIGCONT)
        else:
            return f"cannot {word} a guest that is {'stopped' if self.down else 'not stopped'}"
        if not self.down:
            self.selector.register(self.network, selectors.EVENT_READ, self._lose)
        self.down = None if word == "cont" else word
        self.say(f"{word}, as the other guest asks")
        return "done"

    @staticmethod
    def _lose(network):
        """Takes the frames that came to a guest that is not there to read them."""
        try:
            for _ in range(FRAMES_QUEUED_MAX):
                network.recv(READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            pass

    @staticmethod
    def _receive(port):
        try:
            return port.recv(READ_BYTES)
        except ConnectionResetError:
            return b""

    def _check_time(self):
        spent = self.clock() - self.phase_began
        if self.status is not None or self.down:
            return
        if self.running:
            if spent > self.settings.time_limit_s:
                raise TimeLimit(
                    f"the command ran for more than {self.settings.time_limit_s} s")
        elif not self.console and spent > FIRST_LINE_SECONDS_MAX:
            raise BootHung(f"printed nothing in {FIRST_LINE_SECONDS_MAX} s")
        elif spent > BOOT_SECONDS_MAX:
            raise BootHung(f"had not started the command after {BOOT_SECONDS_MAX} s")

    def _take(self, name, data):
        if name == "console":
            self.console = (self.console + data.replace(b"\r", b""))[-CONSOLE_TAIL_BYTES:]
        elif name == "control":
            *lines, self.words = (self.words + data).split(b"\n")
            for line in lines:
                self._hear(line.decode(errors="replace"))
        elif name == PEER_PORT:
            *lines, self.request = (self.request + data).split(b"\n")
            for line in lines:
                answer = self.peer.obey(line.decode(errors="replace"))
                self.ports[name].sendall(f"{answer}\n".encode())
        else:
            while data:
                data = data[os.write(self.sinks[name], data):]

    def _hear(self, line):
        word, _, rest = line.partition(" ")
        self.phase_began = self.clock()
        if word == "run":
            self.running = True
            self.say("running the command")
        elif word == "exit":
            self.status = int(rest)
        elif word == "fail":
            raise GuestFailed(f"{rest}{self._last_words()}")

    def _last_words(self):
        """What QEMU and the guest's kernel said, for a message about a failure."""
        qemu = b""
        if self.process.poll() is not None:
            qemu = self.process.stderr.read()
        text = (qemu + self.console).decode(errors="replace").strip()
        lines = text.split("\n")[-30:]
        return ":\n  " + "\n  ".join(lines) if text else ""


def join(left, right):
    """Makes two guests that have not started each other's peers on a network."""
    left.network, right.network = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    left.peer, right.peer = right, left


def run(guests):
    """Boots the guests and returns the exit status of the first one's command; the others
    are off by then. Each is booted until its command starts, at most BOOT_ATTEMPTS_MAX
    times, and once only from there on. Raises BootHung, GuestFailed or TimeLimit."""
    with selectors.DefaultSelector() as selector:
        try:
            for guest in guests:
                guest.selector = selector
                guest.start()
            while not guests[0].over():
                for key, _ in selector.select(timeout=0.5):
                    key.data(key.fileobj)
                for guest in guests:
                    guest.check()
        finally:
            for guest in guests:
                guest.kill()
                if guest.network:
                    guest.network.close()
    return guests[0].status
