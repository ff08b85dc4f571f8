"""One boot of the guest: QEMU, its shares, and the ports over which it talks.

The command's standard output and error come over virtio ports of their own, byte for
byte; a third port carries the guest's words about how far it is (see `start`), so nothing
that a command prints can be taken for them. The serial console is for the kernel alone.
"""

import ctypes
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
CONSOLE_TAIL_BYTES = 64 << 10
READ_BYTES = 64 << 10

KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 mitigations=off "
    # Without these the clock is the emulated HPET, at a microsecond a reading.
    "tsc=reliable clocksource=tsc "
    # "rep movsb" is slow under emulation: without it copies are 1.7 times as fast.
    "clearcpuid=erms,rep_good")

PORTS = ("console", "control", "stdout", "stderr")


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
    """Boots, relays the output, and returns the command's exit status.

    `settings` has: image, run_folder, out_folder (or None), memory_mib, smp, time_limit_s,
    qemu. `stdout` and `stderr` are file descriptors to write to; `say` tells the user a
    line; `clock` tells seconds.
    """

    def __init__(self, settings, stdout, stderr, say, clock=time.monotonic):
        self.settings = settings
        self.clock = clock
        self.say = say
        self.sinks = {"stdout": stdout, "stderr": stderr}
        self.process = None
        self.ports = {}
        self._reset()

    def _reset(self):
        self.console = b""
        self.words = b""
        self.running = False
        self.status = None
        self.phase_began = self.clock()

    def run(self):
        """Boots until the command starts, at most BOOT_ATTEMPTS_MAX times, and once only
        from there on. Raises BootHung, GuestFailed or TimeLimit."""
        for attempt in range(1, BOOT_ATTEMPTS_MAX + 1):
            try:
                return self._run_once()
            except BootHung as hung:
                if attempt == BOOT_ATTEMPTS_MAX:
                    raise
                self.say(f"boot {attempt} of at most {BOOT_ATTEMPTS_MAX} {hung}; "
                         "nothing has run yet: booting again")
            finally:
                self._kill()
        raise AssertionError("unreachable")

    def _command_line(self, fds):
        settings = self.settings
        line = [
            settings.qemu, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
            "-m", str(settings.memory_mib), "-smp", str(settings.smp),
            "-nodefaults", "-display", "none", "-no-reboot", "-nic", "none",
            "-kernel", str(settings.image / "vmlinux"),
            "-initrd", str(settings.image / "initrd"), "-append", KERNEL_ARGUMENTS,
            *share("host", "/", "readonly=on"),
            *share("run", settings.run_folder, "readonly=on"),
        ]
        if settings.out_folder:
            line += share("out", settings.out_folder)
        for name in PORTS:
            line += ["-chardev", f"socket,id={name},fd={fds[name]}"]
        line += ["-serial", "chardev:console", "-device", "virtio-serial-pci"]
        for name in PORTS[1:]:
            line += ["-device", f"virtserialport,chardev={name},name={name}"]
        return line

    def _start(self):
        self._reset()
        theirs = {}
        for name in PORTS:
            self.ports[name], theirs[name] = socket.socketpair()
        fds = {name: end.fileno() for name, end in theirs.items()}
        self.process = subprocess.Popen(
            self._command_line(fds), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, pass_fds=tuple(fds.values()), start_new_session=True,
            preexec_fn=die_with_parent)
        for end in theirs.values():
            end.close()

    def _kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
            self.process.stderr.close()
        for port in self.ports.values():
            port.close()
        self.ports = {}

    def _run_once(self):
        self._start()
        with selectors.DefaultSelector() as selector:
            for name, port in self.ports.items():
                selector.register(port, selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select(timeout=0.5):
                    data = self._receive(key.fileobj)
                    if data:
                        self._take(key.data, data)
                    else:
                        selector.unregister(key.fileobj)
                if self._time_is_up():
                    break
        if self.status is None:
            raise GuestFailed(f"the guest ended without an exit status{self._last_words()}")
        return self.status

    @staticmethod
    def _receive(port):
        try:
            return port.recv(READ_BYTES)
        except ConnectionResetError:
            return b""

    def _time_is_up(self):
        """Whether the guest has told all and should be off by now. Raises when an earlier
        phase takes too long."""
        spent = self.clock() - self.phase_began
        if self.status is not None:
            return spent > POWER_OFF_SECONDS_MAX
        if self.running:
            if spent > self.settings.time_limit_s:
                raise TimeLimit(
                    f"the command ran for more than {self.settings.time_limit_s} s")
        elif not self.console and spent > FIRST_LINE_SECONDS_MAX:
            raise BootHung(f"printed nothing in {FIRST_LINE_SECONDS_MAX} s")
        elif spent > BOOT_SECONDS_MAX:
            raise BootHung(f"had not started the command after {BOOT_SECONDS_MAX} s")
        return False

    def _take(self, name, data):
        if name == "console":
            self.console = (self.console + data.replace(b"\r", b""))[-CONSOLE_TAIL_BYTES:]
        elif name == "control":
            *lines, self.words = (self.words + data).split(b"\n")
            for line in lines:
                self._hear(line.decode(errors="replace"))
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
