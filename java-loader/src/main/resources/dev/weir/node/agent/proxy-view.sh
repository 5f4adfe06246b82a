# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# Run by the agent, in a mount namespace of its own, as
#   sh -c THIS weir-proxy VIEW OWN USER PATH... -- COMMAND...
# Becomes COMMAND, the proxy: as USER, without any privilege, with a root directory (put together at
# VIEW) in which there are a system's libraries, certificates of authorities and what PATHs name, all of
# it read-only; the processes of its user; and to write, its directory OWN and a /tmp of its own. Where
# this is refused (in a container, most likely), or VIEW is empty for there is no such namespace, it sees
# all files as far as its user may.
view=$1 own=$2 user=$3
shift 3
dirs='' files='' points='' table='' command_at=1
for word; do
  [ "$word" != -- ] || break
  command_at=$((command_at + 1))
done

warn() {
  echo "weir: warning: the proxy sees all files of the system, as far as its user may: $1" >&2
}

see() { # see PATH...: at its own place, read-only, if it is there
  for path; do
    case $path in *[[:space:]]*) return 1 ;; esac
    if [ -d "$path" ]; then
      dirs="$dirs $view$path"
    elif [ -e "$path" ]; then
      dirs="$dirs $view${path%/*}"
      files="$files $path"
    else
      continue
    fi
    table="$table$path $view$path none bind,ro,nosuid 0 0
"
  done
}

build() {
  mount -t tmpfs -o mode=755,nosuid,nodev,size=1m weir-proxy "$view" || return
  mkdir "$view/old" "$view/proc" "$view/tmp" || return
  mount -t tmpfs -o "mode=700,uid=$user,gid=$user,nosuid,nodev,size=32m" weir-proxy "$view/tmp" || return
  # What the JVM needs: libraries, and what they read; how many processors and how much memory there are.
  for path in /lib /lib32 /lib64; do
    if [ -L "$path" ]; then ln -s "$(readlink "$path")" "$view$path" || return; else see "$path" || return; fi
  done
  see /usr/lib /usr/lib32 /usr/lib64 /nix/store /etc/ld.so.cache /etc/ld.so.conf /etc/ld.so.conf.d /etc/localtime \
    /etc/nsswitch.conf /etc/hosts /etc/ssl/certs /etc/ssl/ca-bundle.pem /etc/pki /etc/java-* \
    /dev/null /dev/zero /dev/random /dev/urandom /sys/devices/system/cpu "$(command -v setpriv)" "$(command -v umount)" || return
  while read -r _ _ _ _ point rest; do
    case $rest in *" - cgroup"*) points="$points $point" ;; esac
  done </proc/self/mountinfo
  # shellcheck disable=SC2086  # words without spaces in them
  see $points || return
  for path; do
    [ "$path" != -- ] || break
    see "$path" || return
  done
  # shellcheck disable=SC2086
  mkdir -p $dirs || return
  for path in $files; do
    : >>"$view$path" || return
  done
  cat >"$view/table" <<END || return
${table}proc $view/proc proc ro,nosuid,nodev,noexec,hidepid=2 0 0
$own $view$own none bind 0 0
END
  mount -a -T "$view/table" && rm "$view/table" && mount -o remount,ro "$view"
}

leave() { # leave: gives the old root up; there is no way back, so there is no going on without
  cd "$view" && pivot_root . old || return
  umount -l /old || exit 1
}

umask 022
if [ -z "$view" ]; then
  warn "no mount namespace may be made here"
elif ! build "$@"; then
  warn "its view of them could not be mounted"
elif ! leave; then
  warn "its view of them could not become its root"
fi
umask 077
cd "$own" || exit 1
shift "$command_at"
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs \
  --bounding-set=-all --inh-caps=-all --ambient-caps=-all "$@"
