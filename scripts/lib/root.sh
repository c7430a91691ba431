# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# The two Debian roots of the testbed. The guest root holds what runs inside a virtual machine, and the QEMU that runs
# it; the toolchain root is a copy of it with compilers, made only for hosts whose own toolchain cannot
# build this kernel. Mirrors and proxies are those of this machine's apt configuration.
#
# Needs lib/common.sh.

SUITE=trixie       # the Debian release of both roots; its rustc and LLVM are what Debian's kernel is built with
NEWER_SUITE=forky  # where mdadm comes from: the first release with mdadm 4.6 (--bitmap=lockless)
MDADM_MINIMUM=4.6

package_list() { sed -e '/^#/d' -e '/^$/d' "$TOP/scripts/packages/$1"; }

# apt_sites: the archive addresses this machine's apt uses, Debian's own first; `mirror+file:` lists are opened.
apt_sites() {
    command -v apt-get >/dev/null || die "no apt-get here: the set-up needs a Debian-like machine."
    # shellcheck disable=SC2016 # expanded by apt
    apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | sort -u | while read -r site; do
        case $site in
        mirror+file:*) awk '/^[a-z]+:/ { print $1; exit }' "${site#mirror+file:}" ;;
        *) echo "$site" ;;
        esac
    done
}

# site_with_suite SUITE: the first configured archive that carries SUITE.
site_with_suite() {
    local suite=$1 site probe
    probe=$(mktemp)
    while read -r site; do
        if /usr/lib/apt/apt-helper download-file "${site%/}/dists/$suite/InRelease" "$probe" >/dev/null 2>&1; then
            rm -f "$probe"
            echo "${site%/}"
            return 0
        fi
    done < <(if [[ -n ${RMD_MIRROR:-} ]]; then echo "$RMD_MIRROR"; fi; apt_sites)
    rm -f "$probe"
    return 1
}

# apt_proxy_settings: the host's proxy configuration, to be used inside the roots too.
apt_proxy_settings() { apt-config dump 2>/dev/null | grep -iE '^Acquire::[a-z]+::proxy' || true; }

# in_root ROOT [--bind DIR]... [--chdir DIR] COMMAND...: runs a command inside a root. The mounts live in a mount
# namespace of their own and vanish with the command. DIRs appear under the same path as outside; /tmp is another each
# time, so that directories of one run do not pile up in the root.
in_root() {
    local root=$1 dir=/ binds=()
    shift
    while :; do
        case ${1:-} in
        --bind) binds+=("$2"); shift 2 ;;
        --chdir) dir=$2; shift 2 ;;
        *) break ;;
        esac
    done
    # shellcheck disable=SC2016 # expanded by the inner shell
    unshare --mount --propagation private -- bash -c '
        set -e
        root=$1; dir=$2; shift 2
        mount --rbind /proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --bind /sys "$root/sys"
        mount -t tmpfs -o mode=1777 tmp "$root/tmp"
        while [[ $1 != -- ]]; do
            mkdir -p "$root$1"
            mount --bind "$1" "$root$1"
            shift
        done
        shift
        exec chroot "$root" env -i --chdir="$dir" HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
            ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
            ${CARGO_TARGET_DIR:+CARGO_TARGET_DIR="$CARGO_TARGET_DIR"} "$@"
    ' in_root "$root" "$dir" "${binds[@]}" -- "$@"
}

# need_debootstrap: installs debootstrap (and the archive's keys) when the machine has none.
need_debootstrap() {
    [[ -x /usr/sbin/debootstrap && -e /usr/share/keyrings/debian-archive-keyring.gpg ]] && return 0
    say "installing debootstrap and debian-archive-keyring with apt-get"
    { apt-get update && apt-get install -y --no-install-recommends debootstrap debian-archive-keyring; } >&2 ||
        die "could not install debootstrap: check the network, or install it by hand, and run this again."
}

# write_apt_setup ROOT SITE SECURITY_SITE: package sources of a root: the release, its updates and backports (for
# linux-*), and mdadm alone from the newer suite. That suite is in development, and a mirror may lag behind its
# expiry date; signatures are checked all the same.
write_apt_setup() {
    local root=$1 site=$2 security=$3
    {
        echo "deb $site $SUITE main"
        echo "deb $site $SUITE-updates main"
        echo "deb $site $SUITE-backports main"
        echo "deb [check-valid-until=no] $site $NEWER_SUITE main"
        echo "deb-src [check-valid-until=no] $site $NEWER_SUITE main"
        [[ -z $security ]] || echo "deb $security $SUITE-security main"
    } >"$root/etc/apt/sources.list"
    printf '%s\n' 'Package: *' "Pin: release n=$NEWER_SUITE" 'Pin-Priority: -1' '' \
        'Package: mdadm' "Pin: release n=$NEWER_SUITE" 'Pin-Priority: 990' >"$root/etc/apt/preferences.d/mdadm"
    {
        echo 'APT::Install-Recommends "false";'
        echo 'Acquire::Languages "none";'
        echo 'Acquire::Retries "3";'
        apt_proxy_settings
    } >"$root/etc/apt/apt.conf.d/90rmd"
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/rmd"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
}

# add_mdadm_suite ROOT: mdadm's own tests, from the source package of the installed version, in /opt/mdadm-suite.
add_mdadm_suite() {
    local root=$1
    # shellcheck disable=SC2016 # expanded inside the root
    in_root "$root" bash -ec '
        version=$(dpkg-query -W -f "\${Version}" mdadm)
        dpkg --compare-versions "$version" ge "$1" || { echo "mdadm $version is older than $1"; exit 1; }
        mkdir -p /opt/mdadm-suite /tmp/mdadm-source
        cd /tmp/mdadm-source
        apt-get source --download-only "mdadm=$version"
        tar -xf mdadm_*.orig.tar.* --strip-components=1 -C /opt/mdadm-suite --wildcards "*/test" "*/tests/*"
        rm -rf /tmp/mdadm-source
    ' add_mdadm_suite "$MDADM_MINIMUM"
}

populate_guest() {
    local root=$1 site=$2 security=$3
    debootstrap --variant=minbase "$SUITE" "$root" "$site"
    write_apt_setup "$root" "$site" "$security"
    in_root "$root" apt-get update
    # shellcheck disable=SC2046 # one package a word
    in_root "$root" apt-get install -y $(package_list guest)
    add_mdadm_suite "$root"
    in_root "$root" apt-get clean
}

# build_guest_root DIR: builder of the guest root; DIR/root is the root itself.
build_guest_root() {
    local dir=$1 site security
    need_root "setting up the guest root"
    need_space 7 "the testbed (a Debian root, a toolchain, the kernel and its source)"
    need_debootstrap
    site=$(site_with_suite "$SUITE") ||
        die "none of this machine's apt sources answers with Debian $SUITE: check the network, or name a Debian" \
            "mirror with RMD_MIRROR=URL."
    security=$(site_with_suite "$SUITE-security") || security=
    rm -rf "$dir/root" "$dir/root.partial"
    # shellcheck disable=SC2034 # step says it
    local STEP_HINT="check the network and run this again"
    step "guest root: Debian $SUITE with mdadm, fio, QEMU" "$dir/log" \
        populate_guest "$dir/root.partial" "$site" "$security"
    mv "$dir/root.partial" "$dir/root"
}

guest_root_inputs() {
    echo "$SUITE $NEWER_SUITE $MDADM_MINIMUM"
    package_list guest
    declare -f write_apt_setup add_mdadm_suite populate_guest
}

# guest_root: makes sure the guest root exists; GUEST_ROOT names it afterwards.
guest_root() {
    local name
    name=guest-$(key_of guest_root_inputs)
    build_entry "$name" build_guest_root
    GUEST_ROOT=$CACHE/$name/root
}

populate_toolchain() {
    local root=$1
    cp -a --reflink=auto "$GUEST_ROOT" "$root"
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    in_root "$root" apt-get update
    # shellcheck disable=SC2046 # one package a word
    in_root "$root" apt-get install -y $(package_list toolchain)
    in_root "$root" apt-get clean
}

# build_toolchain_root DIR: builder of the toolchain root.
build_toolchain_root() {
    local dir=$1
    need_root "setting up the toolchain root"
    need_space 4 "the toolchain root"
    rm -rf "$dir/root" "$dir/root.partial"
    # shellcheck disable=SC2034 # step says it
    local STEP_HINT="check the network and run this again"
    step "toolchain root: rustc, clang, gcc, bindgen" "$dir/log" populate_toolchain "$dir/root.partial"
    mv "$dir/root.partial" "$dir/root"
}

toolchain_root_inputs() {
    guest_root_inputs
    package_list toolchain
    declare -f populate_toolchain
}

# toolchain_root: makes sure the toolchain root exists; TOOLCHAIN_ROOT names it afterwards.
toolchain_root() {
    local name
    guest_root
    name=toolchain-$(key_of toolchain_root_inputs)
    build_entry "$name" build_toolchain_root
    # shellcheck disable=SC2034 # for those who source this
    TOOLCHAIN_ROOT=$CACHE/$name/root
}
