#!/bin/sh
# Prepare this checkout: environment, locked packages, libGL, models; for tests also browsers.
# Safe to repeat: stamps keyed by the locks' hashes make a second run take a moment.
#
#   scripts/setup.sh serve|check|test DATA
set -eu
cd "$(dirname "$0")/.."
mode=${1:-serve}
data=${2:-data}
env=.venv/bin
uv=uv==0.13.9

say() { printf 'setup: %s\n' "$*" >&2; }
fail() {
    say "$*"
    exit 1
}

# Install Debian packages where this user may; otherwise say the command and answer 1.
apt_install() {
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif sudo -n true 2>/dev/null; then
        as_root=sudo
    else
        as_root=no
    fi
    if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
        say "please run: sudo apt-get install $*"
        return 1
    fi
    say "installing $* (apt)"
    log=$(mktemp)
    # shellcheck disable=SC2086  # as_root is empty or one word
    if DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q "$@" >"$log" 2>&1 ||
        { $as_root apt-get update -q >>"$log" 2>&1 &&
            DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q "$@" >>"$log" 2>&1; }; then
        rm -f "$log"
        return 0
    fi
    tail -n 5 "$log" >&2
    rm -f "$log"
    say "apt could not; please run: sudo apt-get install $*"
    return 1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

make_environment() {
    if "$env/python" -c '' 2>/dev/null; then return 0; fi
    python=$(find_python) || fail "needs Python 3.11 or newer: apt-get install python3, or name one: make PYTHON=…"
    say "making .venv with $("$python" --version)"
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        apt_install "python$version-venv" || exit 1
    fi
    rm -rf .venv
    "$python" -m venv .venv
}

stamp_of() { # what is installed is decided by these files, the interpreter and this script
    { cat "$@" scripts/setup.sh && "$env/python" --version; } | sha256sum | cut -d' ' -f1
}

is_fresh() { [ "$(cat "$1" 2>/dev/null)" = "$2" ]; }

# uv installs the lock in seconds; where it cannot be had or cannot run, pip takes minutes.
# --no-deps: the lock is complete, and its packages ask for three clashing OpenCV distributions.
install_packages() { # the requirement files
    arguments=
    for file in "$@"; do arguments="$arguments -r $file"; done
    if ! "$env/python" -m pip --version >/dev/null 2>&1; then "$env/python" -m ensurepip >/dev/null; fi
    say "installing the packages of $*"
    # shellcheck disable=SC2086  # a list of words
    if "$env/python" -m pip install --quiet --disable-pip-version-check "$uv" &&
        "$env/uv" pip install --quiet --python "$env/python" --no-deps $arguments; then
        return 0
    fi
    say "uv did not work here; pip takes some minutes"
    # shellcheck disable=SC2086
    "$env/python" -m pip install --quiet --disable-pip-version-check --no-deps $arguments
}

# What listens can be done without: where its packages cannot be had, that much is "not checked".
install_hearing() {
    wanted=$(stamp_of requirements-hearing.txt)
    if is_fresh .venv/stamp-hearing "$wanted"; then return 0; fi
    say "installing the packages of requirements-hearing.txt"
    if "$env/uv" pip install --quiet --python "$env/python" --no-deps -r requirements-hearing.txt ||
        "$env/python" -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps \
            -r requirements-hearing.txt; then
        echo "$wanted" >.venv/stamp-hearing
    else
        say "left out: spoken digits will be \"not checked\" until these packages can be had"
    fi
}

check_opencv() {
    count=$("$env/python" -c '
from importlib.metadata import distributions
names = {d.metadata["Name"].lower().replace("_", "-") for d in distributions()}
print(len([n for n in names if n.startswith("opencv-")]))')
    [ "$count" = 1 ] || fail "$count OpenCV distributions share one cv2 folder: remove .venv and run again"
    if ! problem=$("$env/python" -c 'import cv2' 2>&1); then
        case $problem in
        *libGL* | *libgthread* | *libglib*) apt_install libgl1 libglib2.0-0 || exit 1 ;;
        *) fail "cv2 does not import: $problem" ;;
        esac
        "$env/python" -c 'import cv2' || fail "cv2 does not import"
    fi
}

make_environment

case $mode in
serve) locks=requirements.txt ;;
check | test) locks='requirements.txt requirements-dev.txt' ;;
*) fail "unknown mode $mode" ;;
esac
# shellcheck disable=SC2086
wanted=$(stamp_of $locks)
if ! is_fresh ".venv/stamp-${locks##* }" "$wanted"; then
    # shellcheck disable=SC2086
    install_packages $locks
    check_opencv
    echo "$wanted" >".venv/stamp-${locks##* }"
fi
install_hearing

if [ "$mode" != check ]; then
    models=$data/models
    wanted=$(stamp_of requirements.txt requirements-hearing.txt kyc/models.toml)
    if ! is_fresh "$models/.stamp" "$wanted"; then
        say "preparing the models in $models"
        mkdir -p "$models"
        "$env/python" -m kyc setup --models "$models"
        echo "$wanted" >"$models/.stamp"
    fi
fi

if [ "$mode" = test ]; then
    missing=
    command -v chromium >/dev/null || missing="$missing chromium"
    command -v firefox-esr >/dev/null || missing="$missing firefox-esr"
    command -v turnserver >/dev/null || missing="$missing coturn"
    command -v softhsm2-util >/dev/null || missing="$missing softhsm2"
    command -v nft >/dev/null || missing="$missing nftables"
    for font in fonts-noto-cjk fonts-ocr-b; do
        dpkg -s $font >/dev/null 2>&1 || missing="$missing $font"
    done
    # shellcheck disable=SC2086
    if [ -n "$missing" ] && ! apt_install $missing; then
        say "tests that need$missing will be skipped"
    fi
fi
