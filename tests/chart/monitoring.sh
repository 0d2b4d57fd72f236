# What the tests of monitors, rules and dashboard need, where it can be installed. Sourced by run.

# promtool is in the package prometheus.
packages=()
command -v promtool >/dev/null || packages+=(prometheus)
command -v prometheus-redis-exporter >/dev/null || packages+=(prometheus-redis-exporter)
command -v redis-server >/dev/null || packages+=(redis-server)
command -v npm >/dev/null || packages+=(npm)
if [ "${#packages[@]}" -gt 0 ]; then
    as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
    echo "tests/chart/run: installing ${packages[*]}"
    # RUNLEVEL=1 keeps the packages from starting servers of their own.
    if ! { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -qq --no-install-recommends "${packages[@]}" >/dev/null; }; then
        echo "tests/chart/run: missing ${packages[*]}, and they cannot be installed from here." >&2
        echo "  Debian, Ubuntu: sudo apt-get install ${packages[*]}" >&2
        exit 1
    fi
fi

# The operator's types, and Grafana's.
models=("@kubernetes-models/prometheus-operator@6.0.0" "@grafana/schema@13.2.3" "typescript@5.9.3")
export MODELS="$PWD/target/chart/models"
if [ "$(cat "$MODELS/packages" 2>/dev/null)" != "${models[*]}" ]; then
    echo "tests/chart/run: installing ${models[*]}"
    mkdir -p "$MODELS"
    echo '{"private": true, "type": "module"}' >"$MODELS/package.json"
    if ! npm install --prefix "$MODELS" --no-audit --no-fund --loglevel=error "${models[@]}" >/dev/null; then
        echo "tests/chart/run: missing npm, or its registry cannot be reached." >&2
        echo "  Debian, Ubuntu: sudo apt-get install npm" >&2
        exit 1
    fi
    echo "${models[*]}" >"$MODELS/packages"
fi
