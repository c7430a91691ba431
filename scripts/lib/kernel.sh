# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The three kernels of the testbed. All come from one entry `linux-KEY` that holds Debian's newest 7.2.x source and
# the packages of its plain amd64 flavour:
#   stock  Debian's own binary; only the Rust metadata its headers package lacks is rebuilt from the same source
#   test   allnoconfig + .config.fragment
#   debug  test + .config.debug.fragment
# A kernel's entry, kernel-NAME-KEY, holds
#   build/      the tree that modules are built against (O= of the kernel build)
#   make-args   the make variables that belong to it, one a line
#   release     what `uname -r` says on it
#   vmlinuz     the image
#   modules/    its own modules, as lib/modules/RELEASE
#
# Needs lib/common.sh and lib/root.sh.

KERNEL_SERIES=7.2
KERNEL_FLAVOUR=amd64


# Runs inside the guest root, in the directory to fill: finds the newest version of the series for which the archive
# has source, image and headers, and downloads those packages.
# shellcheck disable=SC2016 # expanded inside the root
DOWNLOAD_LINUX='
    series=$1 flavour=$2 suite=$3
    apt-get update
    versions=$(apt-cache madison "linux-source-$series" | grep -F " $suite/" | cut -d "|" -f 2)
    for version in $(printf "%s\n" $versions | sort -u -V -r); do
        release=$(apt-cache search --names-only "^linux-image-${version%%-*}\\+[a-z0-9]+-$flavour\$" | cut -d " " -f 1)
        release=${release#linux-image-}
        [ -n "$release" ] && apt-cache show "linux-headers-$release=$version" >/dev/null 2>&1 || continue
        parts=$(apt-cache show "linux-image-$release=$version" | sed -n "s/^Depends: //p" | tr "," "\n" |
            grep -F "(= $version)" | cut -d "(" -f 1)
        for package in "linux-source-$series" "linux-image-$release" "linux-headers-$release" $parts; do
            apt-get download "$package=$version"
        done
        echo "$version" >version
        echo "$release" >release
        exit 0
    done
    echo "no linux-source-$series with image and headers in the archive"
    exit 3
'

fetch_linux() {
    local dir=$1
    rm -rf "$dir/debs"
    mkdir -p "$dir/debs"
    in_root "$GUEST_ROOT" --bind "$dir" --chdir "$dir/debs" bash -ec "$DOWNLOAD_LINUX" download \
        "$KERNEL_SERIES" "$KERNEL_FLAVOUR" "$SUITE-backports"
}

unpack_linux() {
    local dir=$1 deb
    rm -rf "$dir/tree" "$dir/source"
    mkdir -p "$dir/tree"
    for deb in "$dir"/debs/*.deb; do
        in_root "$GUEST_ROOT" --bind "$dir" dpkg-deb -x "$deb" "$dir/tree"
    done
    in_root "$GUEST_ROOT" --bind "$dir" tar -xf "$dir/tree/usr/src/linux-source-$KERNEL_SERIES.tar.xz" -C "$dir"
    mv "$dir/linux-source-$KERNEL_SERIES" "$dir/source"
    rm -rf "$dir/debs/" "$dir/tree/usr/src/linux-source-$KERNEL_SERIES.tar.xz"
}

# fetch_hint STATUS: why the packages could not be fetched. Status 3 says that the archive's lists do not have them, but
# without a network there are no lists.
fetch_hint() {
    if ! site_with_suite "$SUITE-backports" >/dev/null; then
        echo "none of this machine's apt sources answers: check the network and run this again"
    elif (($1 == 3)); then
        echo "Debian $SUITE-backports no longer has $KERNEL_SERIES: take a newer version of this project, or a tree" \
            "of your own with KDIR=/path/to/tree make"
    else
        echo "the archive did not give all packages: run this again"
    fi
}

# debs_are_whole DIR: whether all that was fetched is still there; an interrupted unpacking may have removed a part.
debs_are_whole() {
    local file
    [[ -s $1/fetched ]] || return 1
    while read -r file; do
        [[ -e $1/debs/$file ]] || return 1
    done <"$1/fetched"
}

# build_linux DIR: builder of the entry with Debian's packages and source.
build_linux() {
    local dir=$1
    need_root "fetching the kernel"
    need_space 3 "Debian's kernel and its source"
    if ! debs_are_whole "$dir"; then
        # shellcheck disable=SC2034 # step says it
        local STEP_HINT=fetch_hint
        rm -f "$dir/fetched"
        step "kernel: fetching Debian's newest $KERNEL_SERIES packages" "$dir/log" fetch_linux "$dir"
        ls "$dir/debs" >"$dir/fetched.partial"
        mv "$dir/fetched.partial" "$dir/fetched"
        unset STEP_HINT
    fi
    cp "$dir/debs/release" "$dir/debs/version" "$dir/"
    step "kernel: unpacking linux $(cat "$dir/version")" "$dir/log" unpack_linux "$dir"
}

linux_inputs() {
    echo "$KERNEL_SERIES $KERNEL_FLAVOUR $SUITE $DOWNLOAD_LINUX"
    declare -f fetch_linux unpack_linux
}

# linux_entry: makes sure Debian's packages and source are there; LINUX names the directory.
linux_entry() {
    local name
    guest_root
    name=linux-$(key_of linux_inputs)
    build_entry "$name" build_linux
    LINUX=$CACHE/$name
    choose_toolchain
}

# kernel_make DIR ARGS...: the kernel's make on an entry, with the entry's own variables.
kernel_make() {
    local dir=$1 args
    shift
    mapfile -t args <"$dir/make-args"
    in_toolchain --chdir "$LINUX/source" make "O=$dir/build" "${args[@]}" -j "$JOBS" "$@"
}

# The compilers that Debian's kernel was built with, as its configuration names them.
debian_compiler() {
    sed -n "s/^CONFIG_$1_VERSION_TEXT=\"\(.*\)\"/\1/p" \
        "$LINUX/tree/usr/src/linux-headers-$(<"$LINUX/release")/.config"
}

# host_has_compilers: whether this machine has the very compilers of Debian's kernel (Rust metadata fits no other) and
# the other tools of a kernel build.
host_has_compilers() {
    local tool cc
    cc=$(debian_compiler CC)
    for tool in "${cc%% *}" rustc bindgen rustfmt clippy-driver clang ld.lld llvm-objcopy make flex bison bc pahole \
        openssl shellcheck; do
        command -v "$tool" >/dev/null || return 1
    done
    [[ $("${cc%% *}" --version | head -n 1) == "$cc" && $(rustc --version) == "$(debian_compiler RUSTC)" ]] || return 1
    printf '#include <%s>\n' gelf.h openssl/opensslv.h elfutils/libdw.h | clang -E - >/dev/null 2>&1
}

# host_suffices: whether this machine's own toolchain builds these kernels; the kernel has the last word.
host_suffices() {
    local objects
    host_has_compilers || return 1
    objects=$(mktemp -d)
    if make -C "$LINUX/source" O="$objects" LLVM=1 rustavailable >/dev/null 2>&1; then
        rm -rf "$objects"
        return 0
    fi
    rm -rf "$objects"
    return 1
}

# choose_toolchain: sets TOOLCHAIN to `host` or `root`, whichever builds these kernels here.
choose_toolchain() {
    [[ -z ${TOOLCHAIN:-} ]] || return 0
    if host_suffices; then TOOLCHAIN=host; else TOOLCHAIN=root; fi
}

# toolchain_inputs: what tells one toolchain from another in the keys of what it built.
toolchain_inputs() {
    case $TOOLCHAIN in
    host) rustc --version && clang --version ;;
    root) toolchain_root_inputs ;;
    esac
}

# in_toolchain [--chdir DIR] COMMAND...: runs a command with the toolchain that builds these kernels, with the cache
# and the checkout visible.
in_toolchain() {
    local dir=.
    if [[ $TOOLCHAIN == host ]]; then
        if [[ $1 == --chdir ]]; then
            dir=$2
            shift 2
        fi
        env --chdir="$dir" LC_ALL=C.UTF-8 "$@"
        return
    fi
    [[ -n ${TOOLCHAIN_ROOT:-} ]] || toolchain_root
    in_root "$TOOLCHAIN_ROOT" --bind "$CACHE" --bind "$TOP" "$@"
}

install_module_index() { in_root "$GUEST_ROOT" --bind "$1" depmod -b "$1/modules" "$(cat "$1/release")"; }

prepare_stock() {
    local dir=$1 release headers config
    release=$(cat "$LINUX/release")
    headers=$LINUX/tree/usr/src/linux-headers-$release
    config=$headers/.config
    rm -rf "$dir/build" "$dir/modules"
    mkdir -p "$dir/build" "$dir/modules/lib/modules"
    cp "$config" "$dir/build/.config"
    {
        sed -n 's/^CONFIG_CC_VERSION_TEXT="\([^ ]*\).*/CC=\1/p' "$config"
        echo "KERNELRELEASE=$release"
    } >"$dir/make-args"
    echo "$release" >"$dir/release"
    kernel_make "$dir" olddefconfig
    diff -u "$config" "$dir/build/.config" || {
        echo "the configuration differs from Debian's: this toolchain is not the one Debian's kernel was built with"
        return 1
    }
    kernel_make "$dir" prepare modules_prepare
    cp "$headers/Module.symvers" "$dir/build/"
    cp "$LINUX/tree/usr/lib/modules/$release/vmlinuz" "$dir/vmlinuz"
    cp -al "$LINUX/tree/usr/lib/modules/$release" "$dir/modules/lib/modules/"
    rm -f "$dir/modules/lib/modules/$release"/{build,source}
    install_module_index "$dir"
}

# config_losses FRAGMENT CONFIG: the lines of FRAGMENT that CONFIG does not honour.
config_losses() {
    local line
    grep -E '^CONFIG_' "$1" | while read -r line; do
        case $line in
        *=n) ! grep -q "^${line%=n}=" "$2" || echo "$line" ;;
        *) grep -qxF "$line" "$2" || echo "$line" ;;
        esac
    done
}

configure_built() {
    local dir=$1 losses
    shift
    mkdir -p "$dir/build"
    echo LLVM=1 >"$dir/make-args"
    cat "$@" >"$dir/fragment"
    kernel_make "$dir" KCONFIG_ALLCONFIG="$dir/fragment" allnoconfig
    losses=$(config_losses "$dir/fragment" "$dir/build/.config")
    [[ -z $losses ]] || {
        printf 'this kernel does not take these lines of the configuration fragment:\n%s\n' "$losses"
        return 1
    }
    touch "$dir/build/.configured"
}

finish_built() {
    local dir=$1
    cp "$dir/build/include/config/kernel.release" "$dir/release"
    rm -rf "$dir/modules"
    kernel_make "$dir" INSTALL_MOD_PATH="$dir/modules" modules_install
    rm -f "$dir/modules/lib/modules/$(cat "$dir/release")"/{build,source}
    cp "$dir/build/arch/x86/boot/bzImage" "$dir/vmlinuz"
    install_module_index "$dir"
}

# build_kernel DIR NAME: builder of a kernel's entry. A half-done kernel build is continued where it stopped.
build_kernel() {
    local dir=$1 name=$2 fragments=("$TOP/.config.fragment")
    need_root "building the $name kernel"
    case $name in
    stock)
        need_space 1 "the stock kernel's build tree"
        step "kernel stock: rebuilding the Rust metadata of Debian's kernel" "$dir/log" prepare_stock "$dir"
        return
        ;;
    test) need_space 2 "building the test kernel" ;;
    debug)
        need_space 4 "building the debug kernel"
        fragments+=("$TOP/.config.debug.fragment")
        ;;
    esac
    [[ -e $dir/build/.configured ]] ||
        step "kernel $name: configuring" "$dir/log" configure_built "$dir" "${fragments[@]}"
    step "kernel $name: compiling (about 2,500 steps)" "$dir/log" kernel_make "$dir" bzImage modules
    step "kernel $name: installing its modules" "$dir/log" finish_built "$dir"
}

kernel_inputs() {
    echo "$1"
    cat "$LINUX/version"
    toolchain_inputs
    case $1 in
    stock) declare -f prepare_stock ;;
    test) cat "$TOP/.config.fragment" ;;
    debug) cat "$TOP/.config.fragment" "$TOP/.config.debug.fragment" ;;
    *) die "there is no kernel '$1'; choose stock, test or debug." ;;
    esac
    declare -f configure_built finish_built
}

# kernel_name NAME: what its entry is called today.
kernel_name() { echo "kernel-$1-$(key_of kernel_inputs "$1")"; }

# kernel_entry NAME: makes sure a kernel exists; KERNEL names its directory.
kernel_entry() {
    local name
    linux_entry
    [[ $1 == stock || $1 == test || $1 == debug ]] || die "there is no kernel '$1'; choose stock, test or debug."
    name=$(kernel_name "$1")
    entry_ready "$name" || [[ $TOOLCHAIN == host ]] || toolchain_root
    build_entry "$name" build_kernel "$1"
    # shellcheck disable=SC2034 # for those who source this
    KERNEL=$CACHE/$name
}
