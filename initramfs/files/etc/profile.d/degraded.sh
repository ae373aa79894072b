# SPDX-License-Identifier: Apache-2.0
# Prints the degraded parts of the machine at a login by ssh, and nothing if there are none.
# Only builtins are used, so that a login starts no process more. A command over ssh reads no profile.
if [ -n "$SSH_TTY" ] && [ -s /run/boot2podman/degraded ]; then
    case $TERM in
        '' | dumb) b2p_red='' b2p_plain='' ;;
        *) b2p_red='\033[1;31m' b2p_plain='\033[0m' ;;
    esac
    [ -n "$NO_COLOR" ] && b2p_red='' b2p_plain=''
    b2p_lines=0
    while IFS= read -r b2p_line; do
        b2p_lines=$((b2p_lines + 1))
        [ $b2p_lines -gt 5 ] && b2p_line='more than that: sudo b2p status'
        printf "${b2p_red}boot2podman: degraded %s${b2p_plain}\n" "$b2p_line"
        [ $b2p_lines -gt 5 ] && break
    done </run/boot2podman/degraded
    unset b2p_red b2p_plain b2p_lines b2p_line
fi
