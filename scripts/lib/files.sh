# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Which files the checks look at: what git tracks or would track, so never anything built.
#
# Needs lib/common.sh.

# project_files PATTERN...: files of the checkout that match one of the git patterns.
project_files() { git -C "$TOP" ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    [[ ! -f $TOP/$file ]] || echo "$file"
done; }

# rust_files: the Rust sources of the project.
rust_files() { project_files '*.rs'; }

# shell_files: every file that bash or sh runs or sources.
shell_files() {
    project_files scripts tests .ci | while read -r file; do
        head -n 1 "$TOP/$file" | grep -qE '^#!.*\b(bash|sh)$|^# shellcheck shell=' && echo "$file"
    done
    return 0
}
