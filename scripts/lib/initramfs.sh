# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The initramfs of a kernel of the testbed: a static busybox, guest/initramfs-init, and the modules that reaching the
# 9p root takes on kernels that do not have them built in.
#
# Needs lib/common.sh, lib/root.sh and lib/kernel.sh.

INITRAMFS_MODULES=(9pnet_virtio 9p overlay)

# initramfs_modules: the files to load, in order.
initramfs_modules() {
    local module
    for module in "${INITRAMFS_MODULES[@]}"; do
        in_root "$GUEST_ROOT" --bind "$KERNEL" modprobe -d "$KERNEL/modules" -S "$(cat "$KERNEL/release")" \
            --show-depends "$module" | sed -n 's/^insmod \([^ ]*\).*/\1/p'
    done | awk '!seen[$0]++'
}

fill_initramfs() {
    local tree=$1 file name
    mkdir -p "$tree"/{bin,dev,modules}
    cp "$GUEST_ROOT/usr/bin/busybox" "$tree/bin/"
    ln -s busybox "$tree/bin/sh"
    install -m 755 "$TOP/scripts/guest/initramfs-init" "$tree/init"
    : >"$tree/modules/order"
    for file in $(initramfs_modules); do
        name=$(basename "$file")
        case $name in
        *.xz) xz -dc "$file" >"$tree/modules/${name%.xz}" ;;
        *.zst) zstd -qdc "$file" >"$tree/modules/${name%.zst}" ;;
        *) cp "$file" "$tree/modules/$name" ;;
        esac
        basename "$(basename "$file" .xz)" .zst >>"$tree/modules/order"
    done
}

# build_initramfs DIR: builder of the entry.
build_initramfs() {
    local dir=$1
    rm -rf "$dir/tree"
    fill_initramfs "$dir/tree"
    # shellcheck disable=SC2016 # expanded inside the root
    in_root "$GUEST_ROOT" --bind "$dir" --chdir "$dir/tree" bash -ec \
        'find . | cpio --quiet -o -H newc >"$1"' cpio "$dir/initramfs.cpio"
    rm -rf "$dir/tree"
}

initramfs_inputs() {
    echo "$KERNEL $GUEST_ROOT ${INITRAMFS_MODULES[*]}"
    cat "$TOP/scripts/guest/initramfs-init"
    declare -f fill_initramfs
}

# initramfs_name: what the entry for KERNEL is called today.
initramfs_name() { echo "initramfs-$(key_of initramfs_inputs)"; }

# initramfs_entry: makes sure the initramfs of KERNEL exists; INITRAMFS names it.
initramfs_entry() {
    local name
    name=$(initramfs_name)
    build_entry "$name" build_initramfs
    # shellcheck disable=SC2034 # for those who source this
    INITRAMFS=$CACHE/$name/initramfs.cpio
}
