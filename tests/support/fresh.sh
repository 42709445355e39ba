#!/usr/bin/env bash
# Both commands of the README on a new machine: a minimal Debian 12 that has what the README asks for and
# nothing else; from a clone in root's home, and from one in an ordinary user's home. `make test-fresh` runs it.
#
# It needs root and debootstrap, and tries what is committed. TESTS runs some tests only. Debian comes from
# where this machine has it, or from MIRROR; how to reach Python's packages is copied from this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly RELEASE=bookworm
readonly PACKAGES=python3,python3-venv,make,git,ca-certificates

# The rest runs in namespaces of its own: its mounts and its processes end with it, however it ends.
if [[ ${1:-} != --inside ]]; then
    [[ $(id -u) == 0 ]] || { echo "Making a machine needs root: sudo make test-fresh" >&2; exit 2; }
    command -v debootstrap >/dev/null || { echo "Missing: apt-get install debootstrap" >&2; exit 2; }
    work=$(mktemp --directory /var/tmp/fresh.XXXXXX)
    unshare --mount --pid --fork --kill-child "$PWD/tests/support/fresh.sh" --inside "$work" &
    trap 'kill -KILL $! 2>/dev/null || true; wait $! || true; rm -rf --one-file-system "$work"' EXIT
    trap 'exit 130' INT TERM HUP
    wait $!
    exit
fi

readonly WORK=$2
readonly MACHINE=$WORK/machine

make_machine() {
    local mirror=${MIRROR:-}
    if [[ -z $mirror ]] && command -v apt-get >/dev/null; then
        mirror=$(apt-get indextargets --format '$(SUITE) $(RELEASE) $(REPO_URI)' |
            awk -v release=$RELEASE '$2 == release { print $3; exit }')
    fi
    debootstrap --variant=minbase --include=$PACKAGES $RELEASE "$MACHINE" ${mirror:+"$mirror"} \
        >"$WORK/made" || { tail "$WORK/made" >&2; exit 1; }
    mount -t proc proc "$MACHINE/proc"
    mount --rbind /dev "$MACHINE/dev"
    chroot "$MACHINE" useradd --create-home --shell /bin/bash user
    git bundle create --quiet "$MACHINE/srv/onem2m-security.bundle" HEAD
}

# The network as this machine has it: names, certificates, proxies and pip's settings.
copy_settings() {
    local file home
    for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf /etc/xdg/pip; do
        [[ ! -e $file ]] || cp --recursive --dereference --parents "$file" "$MACHINE"
    done
    for home in "$MACHINE/root" "$MACHINE/home/user"; do
        for file in .config/pip .pip; do
            [[ ! -e $HOME/$file ]] || (cd "$HOME" && cp --recursive --dereference --parents "$file" "$home")
        done
    done
    chroot "$MACHINE" chown --recursive user: /home/user
}

settings_of_the_environment() {
    local names='(PIP|SSL_CERT)_[A-Z_]+|REQUESTS_CA_BUNDLE|[a-z]+_proxy|[A-Z]+_PROXY'
    env --null | grep --null-data --extended-regexp "^($names)=" || true
}

# In the new machine, as the given user with the given home.
as() {
    local user=$1 home=$2 settings
    mapfile -d '' settings < <(settings_of_the_environment)
    shift 2
    settings+=(HOME="$home" USER="$user" PATH=/usr/local/bin:/usr/bin:/bin)
    chroot --userspec="$user:$user" "$MACHINE" env --ignore-environment "${settings[@]}" "$@"
}

# A command of the README in the clone; adds a verdict.
try() {
    local user=$1 home=$2 log=$WORK/log verdict=success
    shift 2
    echo "--- $user: $*"
    SECONDS=0
    as "$user" "$home" bash -c 'cd "$HOME/onem2m-security" && exec "$@"' try "$@" 2>&1 |
        tee "$log" || verdict=FAILURE
    VERDICTS+=("$verdict  $user  $1 $2  ${SECONDS} s  $(tail --lines=1 "$log")")
}

echo "Making a minimal Debian 12 in $MACHINE"
make_machine
copy_settings
VERDICTS=()
for who in "root /root" "user /home/user"; do
    read -r user home <<<"$who"
    chmod 0700 "$MACHINE$home"
    as "$user" "$home" git clone --quiet /srv/onem2m-security.bundle "$home/onem2m-security"
    try "$user" "$home" make demo
    try "$user" "$home" make test TESTS="${TESTS:-}"
done
echo "--- On a new Debian 12, from a clone in a home of mode 0700:"
printf '%s\n' "${VERDICTS[@]}"
[[ ${VERDICTS[*]} != *FAILURE* ]]
