# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# What guest scenarios share: checks that say what was expected, and the driver's files.

MD_PARAMS=/sys/module/md_mod/parameters

# fail TEXT: ends the scenario.
fail() {
	echo "FAIL: $*" >&2
	exit 1
}

# same WHAT EXPECTED ACTUAL
same() {
	[[ $2 == "$3" ]] || fail "$1: expected '$2', got '$3'"
}

# step TEXT: says what comes next, for who reads the log of a failure, in the kernel's log too.
step() {
	echo "== $*"
	echo "scenario: $*" >/dev/kmsg
}

# rows: of a table, those that are run: all with RMD_LONG=1, else those that do not begin with `long`; on the debug
# kernel, where all takes ten times as long, the first that does not.
rows() {
	if [[ $RMD_KERNEL == debug ]]; then
		sed -n '/^long /! { p; q }'
	elif [[ -n ${RMD_LONG:-} ]]; then
		sed 's/^long //'
	else
		sed '/^long /d'
	fi
}

# errno_of COMMAND...: prints the name of the errno that a failing write or command reported, or OK.
#
# The shell and the tools print the text of the errno; the names are what the inventory speaks of.
errno_of() {
	local text
	if text=$("$@" 2>&1 >/dev/null); then
		echo OK
		return
	fi
	case $text in
	*"Invalid argument"*) echo EINVAL ;;
	*"No such device or address"*) echo ENXIO ;;
	*"No such device"*) echo ENODEV ;;
	*"Device or resource busy"*) echo EBUSY ;;
	*"File exists"*) echo EEXIST ;;
	*"Argument list too long"*) echo E2BIG ;;
	*"No such file or directory"*) echo ENOENT ;;
	*"No space left on device"*) echo ENOSPC ;;
	*"Permission denied"*) echo EACCES ;;
	*"Operation not permitted"*) echo EPERM ;;
	*"Inappropriate ioctl"*) echo ENOTTY ;;
	*"Numerical result out of range"*) echo ERANGE ;;
	*"Value too large for defined data type"*) echo EOVERFLOW ;;
	*"Input/output error"*) echo EIO ;;
	*"Operation not supported"*) echo EOPNOTSUPP ;;
	*"Read-only file system"*) echo EROFS ;;
	*"Bad address"*) echo EFAULT ;;
	*"Numerical argument out of domain"*) echo EDOM ;;
	*"File too large"*) echo EFBIG ;;
	*) echo "? $text" ;;
	esac
}

# put TEXT FILE: one write() of TEXT, without a newline of its own.
put() {
	printf '%b' "$1" >"$2"
}

# refuses ERRNO TEXT FILE: writing TEXT fails with ERRNO and leaves the file as it was.
refuses() {
	local before after
	before=$(cat "$3" 2>/dev/null) || true
	same "write of '$2' to $3" "$1" "$(errno_of put "$2" "$3")"
	after=$(cat "$3" 2>/dev/null) || true
	same "contents of $3 after a refused write" "$before" "$after"
}

# takes TEXT FILE [READS]: writing TEXT succeeds, and the file then reads READS (TEXT by default).
takes() {
	same "write of '$1' to $2" OK "$(errno_of put "$1" "$2")"
	same "contents of $2" "${3-$1}" "$(cat "$2")"
}

# Who closes a disk that it had open for writing makes udev open it, to see what is on it now; and so do the events of an
# array that starts, stops or changes. Until udev is done the array is in use, and stopping it, or making it read-only,
# is rightly refused with EBUSY: as much a matter of luck as of the load of the machine. So before such a word:

# settled: waits until udev has looked at all that happened. Nothing a scenario has closed is open after that.
settled() {
	udevadm settle --timeout=300 || fail "udev does not settle"
}

# mdadm ARGUMENT...: mdadm, once udev has settled.
mdadm() {
	settled
	command mdadm "$@"
}

# set_state WORD ARRAY: writes array_state of an array (md0) once udev has settled.
set_state() {
	settled
	put "$1" "/sys/block/$2/md/array_state" || fail "$2 does not become $1"
}

# new_array NAME: creates an array.
new_array() {
	put "$1" $MD_PARAMS/new_array || fail "array $1 was not created"
	[[ -d /sys/block/$1/md ]] || fail "array $1 has no md directory"
}

# arrays: how many arrays there are.
arrays() {
	find /sys/block -maxdepth 1 -name 'md*' | wc -l
}

# ioctl NODE NUMBER [ARGUMENT]: an ioctl without data; prints OK or the errno's name.
ioctl() {
	python3 - "$@" <<-'PYTHON'
		import errno, fcntl, os, sys
		fd = os.open(sys.argv[1], os.O_RDONLY)
		try:
		    fcntl.ioctl(fd, int(sys.argv[2], 0), int(sys.argv[3], 0) if len(sys.argv) > 3 else 0)
		    print("OK")
		except OSError as error:
		    print(errno.errorcode[error.errno])
	PYTHON
}

# await WHAT EXPECTED COMMAND...: waits until COMMAND succeeds and prints EXPECTED, for 60 s at most.
await() {
	local what=$1 expected=$2 got='' i
	shift 2
	for ((i = 0; i < 600; i++)); do
		got=$("$@" 2>/dev/null) && [[ $got == "$expected" ]] && return
		sleep 0.1
	done
	fail "$what: expected '$expected', got '$got'; $(cat /proc/mdstat)"
}

# within SECONDS COMMAND...: runs a command that may sleep for ever where no signal reaches it; 124 when it does.
within() {
	local limit=$1 i
	shift
	"$@" &
	for ((i = 0; i < limit * 10; i++)); do
		kill -0 $! 2>/dev/null || break
		sleep 0.1
	done
	! kill -0 $! 2>/dev/null || return 124
	wait $!
}

# becomes WHAT EXPECTED FILE: waits until FILE reads EXPECTED, for 60 s at most.
becomes() { await "$1" "$2" cat "$3"; }

# sectors DEVICE: sectors written to a device so far.
sectors() { awk '{ print $7 }' "/sys/block/${1#/dev/}/stat"; }

# copies MEMBER...: that each copy of each chunk of the raid10 md0 is where the format says, on these members.
copies() { python3 "$RMD_TOP/tests/lib/raid10.py" /dev/md0 "$@" || fail "copies differ from the array"; }

# partitions COUNT MIB DISK...: cuts disks into so many parts of so many MiB, behind the first MiB. There is no table on
# the disks: each guest tells the kernel anew (BLKPG). What is on them is not assembled by udev, as it would be in a
# machine that starts.
partitions() {
	mkdir -p /run/udev/rules.d
	ln -sf /dev/null /run/udev/rules.d/64-md-raid-assembly.rules
	udevadm control --reload
	python3 - "$@" <<-'PYTHON'
		import ctypes, fcntl, os, struct, sys
		count, size = int(sys.argv[1]), int(sys.argv[2]) << 20
		for disk in sys.argv[3:]:
		    fd = os.open(disk, os.O_RDONLY)
		    for number in range(count):
		        start = (1 << 20) + number * size
		        part = ctypes.create_string_buffer(struct.pack("=qqi64s64s4x", start, size, number + 1, b"", b""))
		        fcntl.ioctl(fd, 0x1269, struct.pack("iiiP", 1, 0, len(part), ctypes.addressof(part)))
	PYTHON
	udevadm settle
}

# bits_set DEVICE: how many bits are set in the classic bitmap on a member, as mdadm sees them.
bits_set() { mdadm --examine-bitmap "$1" | sed -n 's/.* \([0-9]*\) dirty.*/\1/p'; }

# Of the array at MD, its md/ directory:

# idle: waits until no pass runs, nor is about to.
idle() {
	local i seen=0
	for ((i = 0; i < 600; i++)); do
		if [[ $(cat $MD/sync_action) == idle ]]; then seen=$((seen + 1)); else seen=0; fi
		((seen < 5)) || return 0
		sleep 0.1
	done
	fail "no end of $(cat $MD/sync_action): $(cat /proc/mdstat)"
}

# shape TEXT: /proc/mdstat has it.
shape() { grep -qF "$1" /proc/mdstat || fail "not $1: $(cat /proc/mdstat)"; }
