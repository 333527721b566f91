#!/bin/sh
# Make the two environments that every other one is made with: .venvs/uv, which has the installer, and .venvs/python,
# whose Python the others get. That Python is the one that PYTHON names, or the newest supported one on PATH; where there
# is none, uv downloads one into .venvs/downloads. The supported versions are those of the classifiers.
set -eu

uv_version='uv>=0.13,<1'
downloads=$PWD/.venvs/downloads
versions=$(sed -n 's/.*"Programming Language :: Python :: \(3\.[0-9]*\)".*/\1/p' pyproject.toml | sort -t . -k 2 -n -r)
newest=$(echo "$versions" | head -n 1)
range="$(echo "$versions" | tail -n 1) to $newest"

is_supported="import sys; sys.exit('%d.%d' % sys.version_info[:2] not in '''$versions'''.split())"
# uv itself runs anywhere: versions that are too old or too new for the tap can still install it.
has_ensurepip='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 8))'
has_pip='import pip, sys, venv; sys.exit(sys.version_info < (3, 8) or int(pip.__version__.split(".")[0]) < 23)'

# Ctrl-C ends the script, and a program that it stops has its traceback dropped.
trap 'exit 130' INT

quietly() {
  output=$("$@" 2>&1) || {
    echo "$output" >&2
    exit 1
  }
}

fail() {
  echo "make: $*" >&2
  exit 1
}

# Print the path of the first Python that meets a condition. A name on PATH may be a shim for a Python that is missing.
find_python() {
  for name in ${PYTHON:-} $(echo "$versions" | sed 's/^/python/') python3 python; do
    "$name" -c "$1" >/dev/null 2>&1 && "$name" -c 'import sys; print(sys.executable)' && return
  done
  return 1
}

python=
if test -z "${PYTHON:-}"; then
  python=$(find_python "$is_supported") || true
elif "$PYTHON" -c "$is_supported" >/dev/null 2>&1; then
  python=$PYTHON
else
  fail "PYTHON=$PYTHON is no Python $range"
fi

rm -rf .venvs/uv .venvs/python
uv=.venvs/uv/bin/uv
if installer=$(find_python "$has_ensurepip"); then
  quietly "$installer" -m venv .venvs/uv
  quietly .venvs/uv/bin/python -m pip install --quiet --disable-pip-version-check "$uv_version"
elif installer=$(find_python "$has_pip"); then
  quietly "$installer" -m venv --without-pip .venvs/uv
  quietly "$installer" -m pip --disable-pip-version-check --python .venvs/uv/bin/python install --quiet "$uv_version"
elif uv --version >/dev/null 2>&1; then
  uv=uv
elif test -n "$python"; then
  fail "$python has neither venv with ensurepip nor pip, and there is no uv: install one of them" \
    "(Debian and Ubuntu: apt install python3-venv)"
else
  fail "there is neither a Python $range nor uv: install one of them"
fi

if test -z "$python"; then
  echo "There is no Python $range: uv downloads Python $newest into .venvs/downloads"
  export UV_PYTHON_INSTALL_DIR="$downloads"
  if ! error=$(UV_PYTHON_DOWNLOADS=manual "$uv" python install --no-bin "$newest" 2>&1); then
    fail "uv could not download Python $newest ($(echo "$error" | tail -n 1 | sed 's/^ *cause: //')):" \
      "install a Python $range, or name one: make PYTHON=/path/to/python"
  fi
  python=$("$uv" python find --managed-python --no-project --system "$newest")
fi

echo "Setting up with $python"
if test "$uv" = uv; then
  uv venv --quiet --no-project --python "$python" .venvs/uv
  uv pip install --quiet --python .venvs/uv "$uv_version"
fi
.venvs/uv/bin/uv venv --quiet --no-project --python "$python" .venvs/python
