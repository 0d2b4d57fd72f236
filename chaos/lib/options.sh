# shellcheck shell=bash
# The options that all scripts have. A script adds its own by a function `own_option NAME VALUE`, which
# prints nothing, and returns 0 for an option with a value, 3 for one without, and 1 for one it does not
# have.

# shellcheck disable=SC2034  # used by the others
{
    namespace=default
    release=""
    context=""
    context_named=""
    selector=""
    times=1
    pause=30
    every=0.2
    dry_run=""
    report=""
    bound=""
    lease=""
    patience=120
    local_mode=""
    admins=()
    start_command=""
    supervised=""
}

# options_help faults|watch: what --help says of the options that all have; `watch` makes no faults.
options_help() {
    cat <<'EOF'
On a cluster:
  --release NAME     the Helm release; required
  --namespace NAME   its namespace (default)
  --context NAME     the kubeconfig's context; without it, the current one, after you have agreed

On this machine, against processes of `pollux run`:
  --local            instead of a cluster
  --admin URL        the admin address of a replica; again for others. Those that tell each other
                     their address on this machine are found by one (http://127.0.0.1:9090)
EOF
    [ "$1" = watch ] || cat <<'EOF'
  --start COMMAND    starts again what was ended, by `sh -c`, with REPLICA in its environment.
                     Without it, on Linux, with the same command line, directory and environment as before
  --supervised       starts nothing: something else does

How often:
  --times N          so many faults, one after the other (1)
  --pause TIME       between one that is healed and the next (30s)
  --dry-run          looks, says what it would do, and touches nothing

What is expected:
  --lease TIME       `lease.duration`; without it, what is left of the lease tells, rounded up to seconds
  --bound TIME       how long nobody may lead, in place of the fault's own bound
  --patience TIME    how long to wait for a fault to land, and then for all to be well again (2m)
EOF
    cat <<'EOF'

What is kept:
  --every TIME       how often each replica is asked (200ms)
  --report DIR       where report.json and record.jsonl go (pollux-chaos/SCRIPT-TIME)
  --help             this text
EOF
}

exit_status_help() {
    cat <<'EOF'
Exit status: 0 valid; 1 invalid: a promise was broken; 2 wrong usage, or not agreed to; 3 unknown: the
cluster was ill before, the fault did not land, rights are missing, or it was interrupted. The last line
says which, and why.
EOF
}

# as_time OPTION TEXT VARIABLE
as_time() {
    local value
    value=$(seconds "$2") || wrong "$1: expected a time such as 30s, found '$2'"
    printf -v "$3" %s "$value"
}

parse_options() {
    local option value status
    while [ $# -gt 0 ]; do
        option=$1
        case $option in
            --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}" && option=$1 ;;
        esac
        case $option in
            -h | --help) usage && exit 0 ;;
            --dry-run) dry_run=yes && shift && continue ;;
            --local) local_mode=yes && shift && continue ;;
            --supervised) supervised=yes && shift && continue ;;
            --*) ;;
            *) wrong "unexpected '$option'" ;;
        esac
        status=0
        own_option "$option" "${2-}" || status=$?
        case $status in
            0) [ $# -ge 2 ] || wrong "$option needs a value" && shift 2 && continue ;;
            3) shift && continue ;;
        esac
        [ -n "${2-}" ] || wrong_option "$option"
        value=$2
        shift 2
        shared_option "$option" "$value" || wrong_option "$option"
    done
    check_options
}

wrong_option() {
    case $1 in
        --release | --namespace | --context | --admin | --start | --times | --pause | --lease | --bound | --patience | --every | --report)
            wrong "$1 needs a value"
            ;;
    esac
    wrong "there is no option $1"
}

# shellcheck disable=SC2034
shared_option() {
    case $1 in
        --release) release=$2 ;;
        --namespace) namespace=$2 ;;
        --context) context=$2 context_named=yes ;;
        --admin) admins+=("${2%/}") ;;
        --start) start_command=$2 ;;
        --times) times=$2 ;;
        --pause) as_time "$1" "$2" pause ;;
        --lease) as_time "$1" "$2" lease ;;
        --bound) as_time "$1" "$2" bound ;;
        --patience) as_time "$1" "$2" patience ;;
        --every) as_time "$1" "$2" every ;;
        --report) report=$2 ;;
        *) return 1 ;;
    esac
}

check_options() {
    [[ $times =~ ^[1-9][0-9]{0,5}$ ]] || wrong "--times: expected a number from 1 on, found '$times'"
    local name='^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$'
    [[ $namespace =~ $name ]] || wrong "--namespace: '$namespace' is no name of a namespace"
    if [ -n "$local_mode" ]; then
        [ -z "$release$context" ] || wrong "--local goes without --release and --context"
        [ -z "$start_command" ] || [ -z "$supervised" ] || wrong "--start goes without --supervised"
        [ "${#admins[@]}" -gt 0 ] || admins=(http://127.0.0.1:9090)
        local admin
        for admin in "${admins[@]}"; do
            [[ $admin =~ ^http://(127\.[0-9.]+|localhost|\[::1\]):[0-9]+$ ]] ||
                wrong "--admin: expected an address of this machine such as http://127.0.0.1:9090, found '$admin'"
        done
    else
        [ -n "$release" ] || wrong "--release is missing (or --local, for processes on this machine)"
        [[ $release =~ $name ]] || wrong "--release: '$release' is no name of a release"
        [ -z "${admins[*]-}$start_command$supervised" ] ||
            wrong "--admin, --start and --supervised go with --local"
    fi
    report=${report:-pollux-chaos/$script-$(date -u +%Y%m%dT%H%M%SZ)}
}

# as_port TEXT: one more for --redis-port.
as_port() {
    [ -z "$1" ] || { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && [ "$1" -le 65535 ]; } || wrong "--redis-port: expected a port, found '$1'"
    # shellcheck disable=SC2034
    [ -z "$1" ] || ports_named+=("$1")
}
