# SPDX-License-Identifier: GPL-2.0
"""Writes garbage to all that md takes from user space, and prints what came of it: `WHERE TEXT RESULT`.

RESULT is the name of an errno, or `= VALUE` with what is read back after it was taken. A refusal that changes anything
is said by `changed`.
"""

import ctypes
import errno
import os
import sys

PARAMETERS = "/sys/module/md_mod/parameters/"
SYSCTLS = "/proc/sys/dev/raid/"
NAME = "md_garbage"
MD = "/sys/block/%s/md/" % NAME

NUMBERS = [
    "0", "1", "2", "00", "010", "+1", "-0", "-1", "-4", "7", "8", "10", "11", "12", "13", "14", "100", "127", "255",
    "511", "512", "1000", "4095", "4096", "4097", "8192", "65279", "65280", "65281", "65535", "65536", "1048575",
    "1048576", "2147483647", "2147483648", "-2147483648", "-2147483649", "4294967294", "4294967295", "4294967296",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616",
    "99999999999999999999999", "99999999999999999999999x",
]
SHAPES = [
    "", " ", "\n", "\n\n", "\0", "x", "-", "+", ".", "0x", "0x10", "0x1g", "1 2", " 1", "1 ", "1\n", "1\n\n", "1\n2",
    "1\0", "1\0x", "1x", "1.", ".5", "0.5", "0.0005", "1.5", "1.999", "1.2.3", "-1.5", "1e3", "4294967.295",
    "4294968", "\xff\xfe", "A" * 15, "A" * 16, "A" * 17, "A" * 31, "A" * 4095, "garbage", "%s%n", "1,2", "1:2", ":1", "1:",
    "a:b", "4096:0", "4095:1", "1:1048576", "1:1048575", "0:0", "-1:0", "1:-1",
]
WORDS = [
    "none", "none\n", "nonex", "None", "default", "defaultx", "max", "y", "Y", "n", "yes", "on", "of", "off", "true", "t",
    "f", "e", "d", "clearx", "CLEAR", "clear ", "readonly", "readonlyx", "read-auto", "active", "clean", "inactive",
    "inactive\n", "inactivex", "suspended", "write-pending", "active-idle", "broken", "raid0", "raid1", "raid1 ", "raid9",
    "linear", "raid5", "unknown", "resync", "bitmap", "bitmap\n", "bitmapx", "journal", "ppl", "pplx", "llbitmap",
    "lockless", "forwards", "forwardsx", "backwards", "external:", "external:x", "external:" + "y" * 15,
    "external:" + "y" * 16, "external:" + "y" * 17, "externalx", "external", "0.90", "1.2", "1.2x", "1.-2", "2.0", "0.0",
    "1.3", "idle", "frozen",
]
TEXTS = [text.encode("latin-1") for text in NUMBERS + SHAPES + WORDS]
NAMES = [
    "md", "md_", "md_ ", "md_a b", "md_a/b", "md_\xff", "md_\t", "md_a\n\n", "mdx", "md0x", "md-1", "md 1", "md+1", "md007",
    "md1048575", "md1048576", "md4294967296", "md18446744073709551616", "md_" + "a" * 28, "md_" + "a" * 29, "md_d5", "md_d",
    "MD1", " md1", "/dev/md1", "nd_a", "md1\n", "md_..", "md_.", "sda",
]


def outcome(act, *arguments):
    """The name of the errno of act(*arguments), or None."""
    try:
        act(*arguments)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    return None


def put(path, text):
    """One write() of the text."""
    file = os.open(path, os.O_WRONLY)
    try:
        os.write(file, text)
    finally:
        os.close(file)


def get(path):
    """What is in a file: printable, or the name of an errno."""
    try:
        with open(path, "rb") as file:
            return shown(file.read())
    except OSError as error:
        return errno.errorcode[error.errno]


def shown(text):
    text = repr(text)[2:-1]
    return text if len(text) < 60 else text[:50] + "...%d" % len(text)


def report(where, text, result):
    print("%s\t%s\t%s" % (where, text, result))


def create():
    put(PARAMETERS + "new_array", NAME.encode())


def remove():
    if os.path.exists(MD):
        put(MD + "array_state", b"clear")


def snapshot(names):
    return {name: get(MD + name) for name in names}


def attributes(setting, setup, only=None):
    """The files of md/, or some of them, of an array to which `setup` was written."""

    def fresh():
        remove()
        create()
        for name, text in setup:
            put(MD + name, text.encode())

    fresh()
    names = sorted(name for name in os.listdir(MD) if os.path.isfile(MD + name))
    for name in names:
        report(setting + name, "mode", oct(os.stat(MD + name).st_mode & 0o7777))
        report(setting + name, "at first", get(MD + name))
        if not os.stat(MD + name).st_mode & 0o222 or (only and name not in only):
            continue
        before = snapshot(names)
        for text in TEXTS:
            failure = outcome(put, MD + name, text)
            if failure is None:
                report(setting + name, shown(text), "= " + get(MD + name))
                fresh()
            else:
                same = snapshot([name]) == {name: before[name]}
                report(setting + name, shown(text), failure + ("" if same else " changed"))
        after = snapshot(names)
        for other in names:
            if before[other] != after[other]:
                report(setting + name, "all of it", "changed " + other)
    remove()


def arrays():
    return {name for name in os.listdir("/sys/block") if name.startswith("md")}


def names():
    for name in NAMES:
        failure = outcome(put, PARAMETERS + "new_array", name.encode("latin-1"))
        made = sorted(arrays())
        report("new_array", shown(name.encode("latin-1")), "%s %s" % (failure or "taken", " ".join(made)))
        for array in made:
            put("/sys/block/%s/md/array_state" % array, b"clear")


def settings(directory, names):
    """Parameters and sysctls: files with a value of their own."""
    for name in names:
        report(name, "mode", oct(os.stat(directory + name).st_mode & 0o7777))
        before = get(directory + name)
        for text in TEXTS:
            failure = outcome(put, directory + name, text)
            now = get(directory + name)
            report(name, shown(text), failure + ("" if now == before else " changed") if failure else "= " + now)
            put(directory + name, before.replace("\\n", "").encode())


libc = ctypes.CDLL(None, use_errno=True)


def ioctl(file, number, argument):
    ctypes.set_errno(0)
    libc.ioctl(file, ctypes.c_ulong(number), ctypes.c_ulong(argument))
    return errno.errorcode.get(ctypes.get_errno(), "OK")


def ioctls(who):
    """Every number of md's in all directions, without and with an argument that leads nowhere."""
    sizes = {0: [0], 1: [4, 12, 20, 72], 2: [12, 20, 72, 4096], 3: [12]}
    for number in [*range(0x00, 0x60), 0x99, 0xff]:
        for direction in sizes:
            for size in sizes[direction]:
                command = direction << 30 | size << 16 | 9 << 8 | number
                for argument in 0, 1, 0xfffffffffffff000:
                    create_once()
                    file = os.open("/tmp/garbage", os.O_RDONLY)
                    result = ioctl(file, command, argument)
                    os.close(file)
                    if result != "ENOTTY":
                        report("ioctl " + who, "%#x(%#x)" % (command, argument), result)
    remove()


def create_once():
    """The array and a node of its own, as nobody makes nodes here."""
    if os.path.exists(MD):
        return
    if os.path.exists("/tmp/garbage"):
        os.unlink("/tmp/garbage")
    create()
    with open("/sys/block/%s/dev" % NAME) as file:
        major, minor = map(int, file.read().split(":"))
    os.mknod("/tmp/garbage", 0o60666, os.makedev(major, minor))
    os.chmod("/tmp/garbage", 0o666)


def unprivileged(act):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        act()
        sys.stdout.flush()
        os._exit(0)
    return os.waitpid(child, 0)[1]


def nobody():
    """An unprivileged user, to whom all files are open."""
    create_once()
    for name in sorted(os.listdir(MD)):
        if os.path.isfile(MD + name) and os.stat(MD + name).st_mode & 0o222:
            os.chmod(MD + name, 0o666)

    def tries():
        for name in sorted(os.listdir(MD)):
            if os.path.isfile(MD + name) and os.access(MD + name, os.W_OK):
                for text in b"1", b"clear", b"none", b"\n":
                    report("nobody " + name, shown(text), outcome(put, MD + name, text) or "taken")
        ioctls_of_nobody()

    def ioctls_of_nobody():
        file = os.open("/tmp/garbage", os.O_RDONLY)
        for command in [
            0x800c0910, 0x80480911, 0x80140912, 0x90000915, 0x40140921, 0x922, 0x40480923, 0x928, 0x929, 0x4004092b,
            0x400c0930, 0x932, 0x933, 0x934, 0x935, 0x914, 0x920, 0x999, 0x125d,
        ]:
            report("ioctl nobody", "%#x" % command, ioctl(file, command, 0))

    report("nobody", "status", unprivileged(tries))
    report("nobody", "array is left", os.path.exists(MD))
    remove()


put(PARAMETERS + "legacy_async_del_gendisk", b"N")
attributes("", [])
attributes(
    "shaped ",
    [("metadata_version", "1.2"), ("raid_disks", "4"), ("level", "raid1"), ("component_size", "1000")],
    ["raid_disks", "component_size", "array_state", "reshape_direction", "array_size", "logical_block_size"],
)
attributes(
    "external ",
    [("metadata_version", "external:x"), ("raid_disks", "2"), ("level", "raid5")],
    ["array_state", "consistency_policy", "metadata_version", "logical_block_size", "reshape_direction"],
)
names()
settings(
    PARAMETERS,
    ["start_ro", "start_dirty_degraded", "create_on_open", "check_new_feature", "legacy_async_del_gendisk"],
)
settings(SYSCTLS, ["speed_limit_min", "speed_limit_max", "sync_io_depth"])
put(PARAMETERS + "legacy_async_del_gendisk", b"N")
ioctls("root")
nobody()
report("arrays", "left", " ".join(sorted(arrays())))
