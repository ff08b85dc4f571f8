#!/usr/bin/env python3
"""What tools/softroce promises of a boot, against a QEMU that misbehaves on demand."""

import os
import pathlib
import sys
import tempfile
import time
import types
import unittest

HERE = pathlib.Path(os.path.realpath(__file__)).parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent.parent / "tools" / "softroce.d"))
import guest  # noqa: E402  pylint: disable=wrong-import-position
import image  # noqa: E402  pylint: disable=wrong-import-position


class FakeGuest:
    """A guest whose QEMU is fake_qemu.py, in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        qemu = folder / "qemu"
        qemu.write_text(f"#!/bin/sh\nexec python3 {HERE / 'fake_qemu.py'} \"$@\"\n")
        qemu.chmod(0o755)
        self.said = []
        self.out = open(folder / "stdout", "w+b")
        settings = types.SimpleNamespace(
            image=folder, run_folder=folder, out_folder=None, memory_mib=64, smp=1,
            awake=False, time_limit_s=500, qemu=str(qemu), mac="52:54:00:78:00:01")
        self.guest = guest.Guest(settings, self.out.fileno(), self.out.fileno(),
                                 self.said.append, self.clock)

    def lines_in(self, name):
        path = self.folder / name
        return len(path.read_text().split("\n")) - 1 if path.exists() else 0

    def clock(self):
        """Leaps beyond every limit when a boot hangs, or the command after it is known to
        run, and only then."""
        leaps = self.lines_in("hung") + (
            self.lines_in("waiting") if "running the command" in self.said else 0)
        return time.monotonic() + 1000 * leaps

    def prepare(self, *boots):
        (self.folder / "script").write_text("\n".join(boots))

    def output(self):
        self.out.seek(0)
        return self.out.read()


class GuestTest(unittest.TestCase):

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="softroce-test.")
        self.addCleanup(holder.cleanup)
        self.fake = FakeGuest(pathlib.Path(holder.name) / "one")
        self.addCleanup(self.fake.out.close)

    def run_script(self, *boots):
        """Returns (exit status, standard output)."""
        self.fake.prepare(*boots)
        return guest.run([self.fake.guest]), self.fake.output()

    def test_status_and_output_pass_through(self):
        status, out = self.run_script(r"line run out a\r\nexit\x201\n exit 42")
        self.assertEqual(status, 42)
        self.assertEqual(out, b"a\r\nexit 1\n")

    def test_an_idle_guest_halts(self):
        _, out = self.run_script("line run kernel exit 0")
        self.assertIn(b"console=ttyS0", out.split())
        self.assertNotIn(b"idle=poll", out.split())

    def test_a_guest_may_be_kept_awake(self):
        self.fake.guest.settings.awake = True
        _, out = self.run_script("line run kernel exit 0")
        self.assertIn(b"idle=poll", out.split())

    def test_a_boot_that_hangs_is_tried_again(self):
        status, out = self.run_script("hang", "line hang", "line run out b exit 0")
        self.assertEqual((status, out), (0, b"b"))
        self.assertEqual(sum("booting again" in text for text in self.fake.said), 2)

    def test_a_third_boot_that_hangs_is_the_last(self):
        with self.assertRaises(guest.BootHung):
            self.run_script("hang", "hang", "hang", "line run exit 0")
        self.assertEqual(self.fake.lines_in("boots"), 3)

    def test_a_command_that_started_is_never_tried_again(self):
        with self.assertRaises(guest.TimeLimit):
            self.run_script("line run wait", "line run exit 0")
        self.assertEqual(self.fake.lines_in("boots"), 1)

    def test_a_guest_that_dies_under_its_command_has_failed(self):
        with self.assertRaisesRegex(guest.GuestFailed, "without an exit status"):
            self.run_script("line run die", "line run exit 0")
        self.assertEqual(self.fake.lines_in("boots"), 1)


class TwoGuestsTest(unittest.TestCase):

    def setUp(self):
        holder = tempfile.TemporaryDirectory(prefix="softroce-test.")
        self.addCleanup(holder.cleanup)
        folder = pathlib.Path(holder.name)
        self.left, self.right = FakeGuest(folder / "left"), FakeGuest(folder / "right")
        # It waits for the left one and not for the test.
        self.right.guest.settings.time_limit_s = 1e9
        for fake in (self.left, self.right):
            self.addCleanup(fake.out.close)
        guest.join(self.left.guest, self.right.guest)

    def run_scripts(self, left, *right):
        """Returns (exit status, standard output) of the left one."""
        self.left.prepare(left)
        self.right.prepare(*right)
        return guest.run([self.left.guest, self.right.guest]), self.left.output()

    def test_frames_arrive_and_the_status_is_the_left_ones(self):
        status, out = self.run_scripts("line run receive exit 5", "line run send hello exit 6")
        self.assertEqual((status, out), (5, b"hello"))

    def test_the_right_one_is_off_when_the_left_one_is(self):
        self.run_scripts("line run receive exit 0", "line run send up wait")
        self.assertIsNotNone(self.right.guest.process.poll())

    def test_one_that_hangs_is_booted_again_by_itself(self):
        status, _ = self.run_scripts("line run receive exit 0", "hang", "line run send up wait")
        self.assertEqual(status, 0)
        self.assertEqual(self.left.lines_in("boots"), 1)
        self.assertEqual(self.right.lines_in("boots"), 2)

    def test_the_other_one_stands_still_goes_on_and_dies(self):
        pid = self.right.folder / "pid"
        status, out = self.run_scripts(
            f"line run insist stop state {pid} ask cont ask kill state {pid} exit 0",
            "line run wait")
        self.assertEqual((status, out), (0, b"done\nTdone\ndone\ngone"))

    def test_what_comes_to_one_that_is_not_there_is_lost(self):
        _, out = self.run_scripts(
            "line run insist stop flood ask cont send up receive insist kill flood exit 0",
            "line run receive send alive wait")
        self.assertEqual(out, b"done\ndone\nalivedone\n")
        self.assertEqual(self.right.output(), b"up")

    def test_what_cannot_be_done_is_refused(self):
        _, out = self.run_scripts(
            "line run insist cont insist jump ask kill ask kill exit 0", "line run wait")
        self.assertEqual(out, b"cannot cont a guest that is not stopped\n"
                              b"cannot jump a guest that is not stopped\n"
                              b"done\nits command does not run\n")

    def test_one_that_dies_unasked_has_failed(self):
        with self.assertRaisesRegex(guest.GuestFailed, "without an exit status"):
            self.run_scripts("line run receive exit 0", "line run die")


class ImageTest(unittest.TestCase):

    def test_releases_sort_by_number(self):
        names = ["6.1.0-9-amd64-aa", "6.1.0-56-amd64-aa", "6.1.0-10-amd64-aa"]
        ordered = sorted(map(pathlib.Path, names), key=image.release_order)
        self.assertEqual(ordered[-1].name, "6.1.0-56-amd64-aa")
        self.assertEqual(ordered[0].name, "6.1.0-9-amd64-aa")

    def test_the_images_used_last_stay(self):
        with tempfile.TemporaryDirectory(prefix="softroce-test.") as name:
            folder = pathlib.Path(name)
            for age in range(image.IMAGES_KEPT + 2):
                (folder / f"image{age}").mkdir()
                (folder / f"image{age}" / "vmlinux").touch()
                os.utime(folder / f"image{age}", (1000 - age, 1000 - age))
            (folder / "lock").touch()
            image.prune(folder)
            left = sorted(path.name for path in folder.iterdir())
        self.assertEqual(left, [f"image{age}" for age in range(image.IMAGES_KEPT)] + ["lock"])

    def test_a_kernel_packed_in_another_way_is_refused(self):
        bzimage = bytearray(0x400 * 4)
        bzimage[0x1F1] = 1
        with self.assertRaisesRegex(image.ImageError, "packed in a way unknown"):
            image.extract_vmlinux(bytes(bzimage))


if __name__ == "__main__":
    unittest.main()
