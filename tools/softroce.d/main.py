"""Runs a command in a guest with soft-RoCE devices: what tools/softroce hands on to."""

import argparse
import os
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile
import time

import guest
import image

HERE = pathlib.Path(os.path.realpath(__file__)).parent
# Exit statuses that are not the command's, as timeout(1) and env(1) have them.
EXIT_TIME_LIMIT = 124
EXIT_FAILED = 125
# The guest covers these folders of the host's root with empty ones of its own.
HIDDEN = ("/tmp", "/run", "/mnt", "/dev", "/proc", "/sys")
# What the host needs beside the guest's memory.
SPARE_MIB = 512
# Of the caller's environment, what means nothing in the guest.
ENVIRONMENT_NOT = {"PATH", "TMPDIR", "XDG_RUNTIME_DIR", "PWD", "OLDPWD", "SHLVL", "_"}
# What softroce-devices tells a program in the guest.
DEVICE_VARIABLES = ("SOFTROCE", "SOFTROCE_MTU", "SOFTROCE_LEFT", "SOFTROCE_RIGHT")
GUEST_PATH = "/run/softroce:/usr/local/sbin:/usr/sbin:/sbin"
OUT = "/mnt/out"

STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f}s] softroce: {text}", file=sys.stderr, flush=True)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/softroce", add_help=False,
                                     allow_abbrev=False)
    parser.add_argument("--rails", type=int, default=1, choices=range(1, 5))
    parser.add_argument("--wire", action="store_true")
    parser.add_argument("--two", action="store_true")
    parser.add_argument("--mtu", type=int, default=4096, choices=(1024, 4096))
    parser.add_argument("--kernel", default="6.1", choices=tuple(image.META_PACKAGES))
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--memory", type=int, default=4096, metavar="MIB")
    parser.add_argument("--smp", type=int, default=2, choices=range(1, 17))
    parser.add_argument("--awake", action="store_true")
    parser.add_argument("--time-limit", type=int, default=600, metavar="SECONDS")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR")
    parser.add_argument("--show", action="append", default=[], metavar="DIR")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("command", nargs="*")
    options = parser.parse_args(arguments)
    if not options.command and not options.check:
        parser.error("no command given (try --help)")
    if options.memory < 256:
        parser.error(f"--memory {options.memory}: the guest needs 256 MiB")
    if options.two and (options.wire or options.rails > 1):
        parser.error("two guests have one device each and no wire within them")
    options.commands = commands(options)
    if not options.check and not all(options.commands):
        parser.error("--and: a command is missing on one side of it")
    return options


def commands(options):
    """What each guest runs: the words, and with --two those after --and for the right one."""
    if not options.two:
        return [options.command]
    if "--and" not in options.command:
        return [options.command, ["sleep", "infinity"]]
    at = options.command.index("--and")
    return [options.command[:at], options.command[at + 1:]]


def hidden(path):
    return any(path == top or path.startswith(top + "/") for top in HIDDEN)


def folders_to_show(options, command, working_directory):
    """Folders below the hidden ones that the guest must see at their place: those asked
    for, the working directory, and where the command's file lies."""
    wanted = [os.path.realpath(name) for name in options.show]
    wanted.append(working_directory)
    program = shutil.which(command[0])
    if program:
        wanted.append(os.path.dirname(os.path.abspath(program)))
        wanted.append(os.path.dirname(os.path.realpath(program)))
    shown = []
    for folder in wanted:
        if not os.path.isdir(folder):
            raise image.ImageError(f"--show {folder}: not a folder")
        if any(char.isspace() for char in folder) and hidden(folder):
            raise image.ImageError(f"{folder}: white space in a folder below {HIDDEN}")
        if folder in HIDDEN:
            raise image.ImageError(
                f"{folder} is the guest's own: go to (or show) a folder below it")
        if hidden(folder) and folder not in shown:
            shown.append(folder)
    return shown


def environment(options):
    """The command's environment: the caller's. `start` adds what tells of the devices."""
    result = {name: value for name, value in os.environ.items()
              if name not in ENVIRONMENT_NOT}
    result["PATH"] = f"{GUEST_PATH}:{os.environ.get('PATH', '/usr/bin:/bin')}"
    if options.out:
        result["SOFTROCE_OUT"] = OUT
    return result


def fill_run_folder(options, kind, command, folder):
    """Writes what a guest reads: the fixed scripts, the settings and the command."""
    working_directory = os.getcwd()
    for name in ("start", "softroce-devices", "softroce-wire", "softroce-peer"):
        shutil.copy(HERE / name, folder / name)
        (folder / name).chmod(0o755)
    shown = folders_to_show(options, command, working_directory)
    settings = {"kind": kind, "rails": options.rails, "mtu": options.mtu,
                "show_again": " ".join(shown)}
    (folder / "settings").write_text(
        "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in settings.items()))
    words = [f"{name}={value}" for name, value in environment(options).items()]
    devices = " ".join(f'{name}="${name}"' for name in DEVICE_VARIABLES)
    (folder / "command").write_text(
        f"cd {shlex.quote(working_directory)} || exit {EXIT_FAILED}\n"
        f"exec env -i {shlex.join(words)} {devices} {shlex.join(command)}\n")
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (folder / "has_out").touch()


def check_memory(options):
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        fields = dict(line.split(":") for line in meminfo)
    available = int(fields["MemAvailable"].split()[0]) // 1024
    wanted = options.memory * len(options.commands)
    if available < wanted + SPARE_MIB:
        raise image.ImageError(
            f"{available} MiB of memory are available, {wanted} for the guest and "
            f"{SPARE_MIB} beside it are needed (--memory MIB)")


def kinds(options):
    """What the devices of each guest are; the first is the one whose status counts."""
    if options.two:
        return ["left", "right"]
    return ["wire" if options.wire else "self"]


def make_guest(options, number, folder, tell):
    """A guest that is off, of which everything that it reads lies in `folder`."""
    kind = kinds(options)[number]
    folder.mkdir()
    fill_run_folder(options, kind, options.commands[number], folder)
    settings = argparse.Namespace(
        image=options.image, run_folder=folder, memory_mib=options.memory, smp=options.smp,
        awake=options.awake, time_limit_s=options.time_limit, qemu=options.qemu,
        mac=f"52:54:00:78:00:0{number + 1}",
        out_folder=options.out.resolve() if options.out else None)
    prefix = f"{kind}: " if options.two else ""
    return guest.Guest(settings, sys.stdout.fileno(), sys.stderr.fileno(),
                       lambda text: tell(prefix + text))


def run(options):
    """Returns the exit status of the tool."""
    tell = (lambda text: None) if options.quiet else say
    check_memory(options)
    options.image = image.get(options.kernel, tell, options.refresh)
    options.qemu = shutil.which("qemu-system-x86_64")
    if not options.qemu:
        raise image.ImageError("qemu-system-x86_64 is not installed")
    if options.check:
        return 0
    with tempfile.TemporaryDirectory(prefix="softroce.") as name:
        guests = [make_guest(options, number, pathlib.Path(name) / str(number), tell)
                  for number in range(len(options.commands))]
        if options.two:
            guest.join(*guests)
        tell(f"booting Linux {options.image.name.rpartition('-')[0]}, {options.memory} MiB, "
             f"{options.smp} CPUs; {options.rails} x {' and '.join(kinds(options))}, "
             f"MTU {options.mtu}")
        status = guest.run(guests)
        tell(f"the command's exit status is {status}")
        return status


def main():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return run(parse(sys.argv[1:]))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except guest.TimeLimit as error:
        say(str(error))
        return EXIT_TIME_LIMIT
    except (image.ImageError, guest.BootHung, guest.GuestFailed, OSError) as error:
        say(f"failed: {error}")
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
