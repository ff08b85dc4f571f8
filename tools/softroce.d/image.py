"""The guest's kernel and initramfs: made from Debian's packages, kept in a cache.

The kernel package is downloaded with apt and never installed. Two files come of it:
  vmlinux   the ELF inside the package's bzImage, which QEMU starts through its PVH note;
            the bzImage would unpack itself under emulation, which takes twice as long
  initrd    busybox, the modules that soft-RoCE needs in their order, and `init`
An image is keyed by the kernel's release and by a hash of what makes it. Concurrent runs
take a lock, so the download happens once. Those used last stay, the others go when a new
one is made.
"""

import contextlib
import fcntl
import gzip
import hashlib
import io
import lzma
import os
import pathlib
import shutil
import stat
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(os.path.realpath(__file__)).parent

# Images of 60 MB: two kernels, as two checkouts may have them.
IMAGES_KEPT = 4

# What apt calls the newest kernel of a series on Debian 12.
META_PACKAGES = {"6.1": "linux-image-amd64", "6.12": "linux-image-6.12-amd64"}

MODULES = (
    # Disks of the host, and the ports for the command's output.
    "virtio_pci 9pnet_virtio 9p virtio_console virtio_net "
    # rxe asks for crc32 by name. crc32_pclmul would win by priority, and is slower than
    # the generic one where its instructions are emulated.
    "crc32_generic rdma_rxe ib_uverbs rdma_ucm "
    "dummy veth sch_netem sch_plug sch_tbf sch_prio sch_ingress cls_u32 act_mirred "
    "act_gact nf_tables"
).split()

# Parts of the package that none of these modules needs: most of its 400 MB.
UNPACK_NOT = ("*/drivers/gpu/*", "*/drivers/media/*", "*/drivers/net/ethernet/*",
              "*/drivers/net/wireless/*", "*/drivers/usb/*", "*/drivers/scsi/*",
              "*/drivers/iio/*", "*/drivers/hwmon/*", "*/drivers/staging/*", "*/sound/*")


class ImageError(Exception):
    """The image cannot be made: why, in a sentence for the user."""


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(base) / "kvasir" / "softroce"


def run(*command, **options):
    """Runs a program and returns its output; its last words are the error's."""
    try:
        done = subprocess.run(command, capture_output=True, check=True, **options)
        return done.stdout
    except FileNotFoundError as error:
        raise ImageError(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().split("\n")[-1]
        raise ImageError(f"{' '.join(map(str, command[:3]))}: {words}") from error


def newest_package(series):
    """The package of the newest kernel of a series, as the local lists have it."""
    text = run("apt-cache", "depends", META_PACKAGES[series]).decode()
    names = [word for word in text.split() if word.startswith("linux-image-6")]
    names = [name for name in names if name != META_PACKAGES[series]]
    if not names:
        raise ImageError(f"apt knows no package {META_PACKAGES[series]}")
    return names[0]


def download(series, folder, say):
    """Downloads the package of the newest kernel and returns (release, its path)."""
    def attempt():
        package = newest_package(series)
        say(f"downloading {package} with apt (70 to 110 MB, once)")
        run("apt-get", "download", "-q", package, cwd=folder)
        return package
    try:
        package = attempt()
    except ImageError:
        # The lists on this machine are missing or name what the archive no longer has.
        say("refreshing apt's lists")
        as_root = [] if os.getuid() == 0 else ["sudo"]
        run(*as_root, "apt-get", "update", "-q")
        package = attempt()
    debs = list(folder.glob("linux-image-*.deb"))
    if len(debs) != 1:
        raise ImageError(f"download of {package} left {len(debs)} files instead of one")
    return package.removeprefix("linux-image-"), debs[0]


def extract_vmlinux(bzimage):
    """The ELF inside a bzImage (Documentation/x86/boot.rst, "The real-mode header")."""
    setup_sectors = bzimage[0x1F1] or 4
    payload_offset, payload_length = struct.unpack_from("<II", bzimage, 0x248)
    begin = (setup_sectors + 1) * 512 + payload_offset
    payload = bzimage[begin:begin + payload_length]
    if payload[:6] == b"\xfd7zXZ\0":
        vmlinux = lzma.LZMADecompressor().decompress(payload)
    elif payload[:4] == b"\x28\xb5\x2f\xfd":
        # Four bytes of length follow the stream; zstd complains about them at its end.
        vmlinux = subprocess.run(["zstd", "-dc"], input=payload, check=False,
                                 capture_output=True).stdout
    else:
        raise ImageError(f"kernel is packed in a way unknown here: {payload[:6].hex()}")
    if vmlinux[:4] != b"\x7fELF":
        raise ImageError("the kernel's payload is not an ELF file")
    return vmlinux


class Cpio:
    """A cpio archive of the "newc" form, as the kernel unpacks it; no root needed."""

    def __init__(self):
        self.bytes = io.BytesIO()
        self.entries = 0

    def add(self, name, mode, data=b"", device=(0, 0)):
        self.entries += 1
        encoded = name.encode() + b"\0"
        fields = (self.entries, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        self.bytes.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        self.bytes.write(encoded)
        self._pad()
        self.bytes.write(data)
        self._pad()

    def _pad(self):
        self.bytes.write(b"\0" * (-self.bytes.tell() % 4))

    def finish(self):
        self.add("TRAILER!!!", 0)
        return self.bytes.getvalue()


def module_order(tree, release):
    """Paths of the modules and all they need, each after what it needs."""
    run("depmod", "-b", tree, release)
    order = []
    for module in MODULES:
        text = run("modprobe", "-d", tree, "-S", release, "--show-depends", module).decode()
        for line in text.split("\n"):
            words = line.split()
            if words[:1] == ["insmod"] and words[1] not in order:
                order.append(words[1])
    return [pathlib.Path(path) for path in order]


def make_initrd(tree, release):
    archive = Cpio()
    for name in ("bin", "dev", "proc", "sys", "root", "modules"):
        archive.add(name, stat.S_IFDIR | 0o755)
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add("bin/busybox", stat.S_IFREG | 0o755, busybox().read_bytes())
    archive.add("init", stat.S_IFREG | 0o755, (HERE / "init").read_bytes())
    names = []
    for path in module_order(tree, release):
        data = path.read_bytes()
        if path.suffix == ".xz":
            data, path = lzma.decompress(data), path.with_suffix("")
        names.append(path.name)
        archive.add(f"modules/{path.name}", stat.S_IFREG | 0o644, data)
    archive.add("modules/order", stat.S_IFREG | 0o644, ("\n".join(names) + "\n").encode())
    return gzip.compress(archive.finish(), compresslevel=1, mtime=0)


def busybox():
    path = shutil.which("busybox")
    if not path:
        raise ImageError("busybox is not installed (package busybox-static)")
    return pathlib.Path(path)


def recipe_hash():
    """What an initrd depends on beside the kernel."""
    digest = hashlib.sha256()
    for path in (HERE / "image.py", HERE / "init", busybox()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@contextlib.contextmanager
def locked(folder):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def build(series, folder, say):
    """Fills `folder`/RELEASE-HASH/ and returns it."""
    with tempfile.TemporaryDirectory(dir=folder, prefix="build.") as name:
        work = pathlib.Path(name)
        release, deb = download(series, work, say)
        say(f"making the image of Linux {release} (about 10 s, once)")
        tree = work / "tree"
        tree.mkdir()
        with subprocess.Popen(["dpkg", "--fsys-tarfile", deb],
                              stdout=subprocess.PIPE) as unpack:
            run("tar", "-x", "-C", tree, *(f"--exclude={what}" for what in UNPACK_NOT),
                stdin=unpack.stdout)
        image = work / "image"
        image.mkdir()
        (image / "vmlinux").write_bytes(
            extract_vmlinux((tree / "boot" / f"vmlinuz-{release}").read_bytes()))
        (image / "initrd").write_bytes(make_initrd(tree, release))
        final = folder / f"{release}-{recipe_hash()}"
        shutil.rmtree(final, ignore_errors=True)
        image.rename(final)
    return final


def prune(folder):
    """Removes all images but the IMAGES_KEPT that were used last."""
    images = [path for path in folder.iterdir() if (path / "vmlinux").exists()]
    images.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in images[IMAGES_KEPT:]:
        shutil.rmtree(path, ignore_errors=True)


def release_order(path):
    """Sorts 6.1.0-9 before 6.1.0-10."""
    words = path.name.replace("+", ".").replace("-", ".").split(".")
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words]


def get(series, say, refresh=False):
    """Returns the folder of vmlinux and initrd for a kernel series ("6.1", "6.12").

    Makes it if it is not in the cache, or, with `refresh`, in any case, from the newest
    kernel that apt knows. Raises ImageError.
    """
    folder = cache_folder()
    try:
        with locked(folder):
            found = sorted(folder.glob(f"{series}.*-{recipe_hash()}"), key=release_order)
            if found and not refresh:
                os.utime(found[-1])
                return found[-1]
            image = build(series, folder, say)
            prune(folder)
            return image
    except OSError as error:
        raise ImageError(f"cache {folder}: {error}") from error


if __name__ == "__main__":
    print(get(sys.argv[1], print))
