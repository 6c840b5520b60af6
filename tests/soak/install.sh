#!/usr/bin/env bash
# Installs by package name what `make soak` needs: an emulator, and what builds a small Debian machine for it.
set -euo pipefail
apt-get update --quiet=2
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
  qemu-system-x86 mmdebstrap busybox-static e2fsprogs cpio
