# shellcheck shell=bash
# Reads JSON by grep and awk, since neither kubectl nor curl brings a program that does.

# Each value of the JSON on stdin as a line "path<TAB>value", such as `endpoints.0.name<TAB>"prices"`.
# Texts keep their quotes. An empty line ends each whole value.
json_flat() {
    { grep -oE '"([^"\\]|\\.)*"|[][{},:]|[^][{},:"[:space:]]+' || true; } | awk '
        function path(at, text) {
            text = key[1]
            for (at = 2; at <= depth; at++) text = text "." key[at]
            return text
        }
        $0 == "{" || $0 == "[" { depth++; kind[depth] = $0; key[depth] = 0; naming[depth] = $0 == "{"; next }
        $0 == "}" || $0 == "]" { if (--depth == 0) print ""; next }
        $0 == ":" { naming[depth] = 0; next }
        $0 == "," { if (kind[depth] == "[") key[depth]++; else naming[depth] = 1; next }
        naming[depth] { key[depth] = substr($0, 2, length($0) - 2); next }
        { print path() "\t" $0 }
    '
}

# json_at PATH: the value there, without quotes; nothing where there is none.
json_at() {
    json_flat | awk -F '\t' -v at="$1" '$1 == at && $2 != "null" { gsub(/^"|"$/, "", $2); print $2 }'
}
