#!/usr/bin/env bash
# Purpose:  puts lstm-tune and Ray into ~/lstm-tune-env on a machine of a cluster; the `ray up` files run it on each.
# Command:  bash ~/lstm-tune/cluster/install.sh
#
# Ray joins only nodes of one Ray version and one Python minor version, so both stay the same however late a node is
# added. Where an NVIDIA GPU answers it installs PyTorch with CUDA, elsewhere the CPU build, which is a tenth as large.
set -euo pipefail

RAY_VERSION="2.60.0"
TORCH_VERSION="2.13.0"
SOURCE="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
ENVIRONMENT="$HOME/lstm-tune-env"

if ! python3 -c 'import ensurepip' 2>/dev/null; then
  sudo apt-get -o DPkg::Lock::Timeout=300 update --quiet
  sudo apt-get -o DPkg::Lock::Timeout=300 install --yes --quiet python3-venv
fi
[[ -x "$ENVIRONMENT/bin/python" ]] || python3 -m venv "$ENVIRONMENT"

torch=("torch==$TORCH_VERSION")
nvidia-smi --list-gpus >/dev/null 2>&1 || torch+=(--index-url https://download.pytorch.org/whl/cpu)
"$ENVIRONMENT/bin/pip" install --quiet "${torch[@]}"
"$ENVIRONMENT/bin/pip" install --quiet "ray[default,tune]==$RAY_VERSION" "$SOURCE"

[[ -f "$HOME/.ray/auth_token" ]] && chmod 600 "$HOME/.ray/auth_token"
settings="export RAY_AUTH_MODE=token PATH=\"$ENVIRONMENT/bin:\$PATH\" # lstm-tune"
grep -qxF "$settings" "$HOME/.bashrc" 2>/dev/null || printf '%s\n' "$settings" >>"$HOME/.bashrc"
