# shellcheck shell=bash
# A release in a cluster: its pods, and the way to their admin servers. That is the API server's proxy,
# by one `kubectl proxy` on a socket that nobody else may open; where it does not get there, as with
# networkPolicy.enabled, `kubectl exec` runs `pollux status` in each pod, which takes longer.

proxy=""
via=""
admin_port=""

k() {
    kubectl --context "$context" --namespace "$namespace" --request-timeout=20s "$@"
}

# first_line FILE: what a program complained of.
complaint() {
    grep -v '^$' "$1" | tail -n 1
}

target_check() {
    require kubectl
    if [ -z "$context" ]; then
        context=$(kubectl config current-context 2>/dev/null) ||
            refuse "there is no current context: name one by --context (kubectl config get-contexts lists them)"
    fi
    kubectl config get-contexts "$context" >/dev/null 2>&1 ||
        refuse "there is no context $context: kubectl config get-contexts lists those that there are"
    [ -n "$context_named$dry_run" ] || [ "$script" = watch ] || [ -t 0 ] ||
        wrong "the context $context is the current one, and nobody is here to agree to it: name it by --context"
    asked_of="release $release in namespace $namespace of context $context"
    selector="app.kubernetes.io/name=pollux,app.kubernetes.io/instance=$release"
    selector+=",app.kubernetes.io/component in (poller,gateway)"
    check_rights
    k get pods --selector "$selector" -o name >"$work/pods" 2>"$work/why" || refuse "$(complaint "$work/why")"
    [ -s "$work/pods" ] ||
        refuse "there is no release $release in namespace $namespace: no pod has its labels (helm list --all-namespaces tells)"
    admin_port=$(pod_says "$(head -n 1 "$work/pods")" '{.spec.containers[?(@.name=="pollux")].ports[?(@.name=="admin")].containerPort}')
    choose_way
}

may() {
    local resource=${2%%/*} sub=()
    [ "$2" = "$resource" ] || sub=(--subresource="${2#*/}")
    k auth can-i "$1" "$resource" "${sub[@]}" >/dev/null 2>"$work/why"
}

check_rights() {
    k get --raw /version >/dev/null 2>"$work/why" ||
        refuse "the API server of context $context does not answer: $(complaint "$work/why")"
    local verb resource missing=""
    while read -r verb resource; do
        may "$verb" "$resource" || missing+="${missing:+, }$verb $resource"
    done < <(echo list pods && needs_rights)
    [ -z "$missing" ] ||
        refuse "context $context may not do this in namespace $namespace: $missing. Ask for a Role with these rights"
}

choose_way() {
    if may get pods/proxy; then
        start_proxy
        via=proxy
        local name
        while read -r name; do
            target_ask "$name" >/dev/null 2>&1 && return
        done < <(target_list)
    fi
    via="exec"
    may create pods/exec ||
        refuse "the replicas cannot be asked: neither get pods/proxy nor create pods/exec is allowed in \
namespace $namespace, or the API server does not reach the pods"
    say "the API server's proxy does not reach the replicas: kubectl exec asks them, which takes longer"
}

start_proxy() {
    kubectl --context "$context" proxy --unix-socket="$work/proxy" \
        --accept-paths="^/api/v1/namespaces/$namespace/pods/[^/]+/proxy/v1/cluster\$" \
        >"$work/proxy.log" 2>&1 &
    proxy=$!
    until_true 10 test -S "$work/proxy" || refuse "kubectl proxy does not start: $(complaint "$work/proxy.log")"
}

# All that run or are about to, also while they leave.
target_list() {
    k get pods --selector "$selector" -o go-template='
        {{- range .items}}{{if and (ne .status.phase "Succeeded") (ne .status.phase "Failed")}}
        {{- .metadata.name}}{{"\n"}}{{end}}{{end}}'
}

target_knows() {
    grep -qxF -- "$1" "$work/listed"
}

target_ask() {
    if [ "$via" = exec ]; then
        k exec "$1" --container=pollux -- /pollux status --json --url "http://localhost:$admin_port"
    else
        curl --silent --show-error --fail --max-time 3 --noproxy '*' --unix-socket "$work/proxy" \
            "http://localhost/api/v1/namespaces/$namespace/pods/$1:$admin_port/proxy/v1/cluster"
    fi
}

target_agreed() {
    [ -n "$context_named" ]
}

target_leave() {
    [ -z "$proxy" ] || kill "$proxy" 2>/dev/null || true
}

# pod_says POD JSONPATH
pod_says() {
    k get "pod/${1#pod/}" --ignore-not-found -o "jsonpath=$2"
}
