{{/* pollux.yaml as the replicas read it: `config`, and what the chart knows better. */}}
{{- define "pollux.config" -}}
{{- $config := deepCopy (.Values.config | default dict) -}}
{{- $any := ternary "[::]" "0.0.0.0" .Values.ipv6 -}}
{{- $admin := $config.admin | default dict -}}
{{- if not $admin.listen -}}
{{- $_ := set $admin "listen" (printf "%s:9090" $any) -}}
{{- end -}}
{{- if not $admin.token -}}
{{- $_ := set $admin "token" "${file:/run/secrets/pollux/admin-token}" -}}
{{- end -}}
{{- $_ := set $config "admin" $admin -}}
{{- if .Values.ipv6 -}}
{{- $gateway := $config.gateway | default dict -}}
{{- if not $gateway.listen -}}
{{- $_ := set $gateway "listen" "[::]:8080" -}}
{{- end -}}
{{- $_ := set $config "gateway" $gateway -}}
{{- end -}}
{{- if .Values.redis.embedded -}}
{{- $url := printf "redis://%s-redis:6379" (include "pollux.fullname" .) -}}
{{- $_ := set $config "redis" (dict "url" $url "password" "${file:/run/secrets/pollux/redis-password}") -}}
{{- end -}}
{{- toYaml $config -}}
{{- end -}}

{{/* Whether the admin token is the chart's to provide: not where the configuration has one. */}}
{{- define "pollux.ownAdminToken" -}}
{{- if not (((.Values.config).admin).token) -}}true{{- end -}}
{{- end -}}

{{/* The Secret with the admin token, of the chart's making or not. */}}
{{- define "pollux.adminSecret" -}}
{{- .Values.admin.existingSecret | default (printf "%s-admin" (include "pollux.fullname" .)) -}}
{{- end -}}

{{/* The Secrets that become files at /run/secrets/pollux, as sources of a projected volume; the chart's
own last, since the last of a name counts. Kubernetes exchanges them all at once when one changes.
dict "root" $ "admin" true. */}}
{{- define "pollux.secretSources" -}}
{{- $root := .root -}}
{{- with $root.Values.existingSecret }}
- secret:
    name: {{ . }}
{{- end }}
{{- if and .admin (include "pollux.ownAdminToken" $root) }}
- secret:
    name: {{ include "pollux.adminSecret" $root }}
    items:
      - key: {{ ternary $root.Values.admin.existingSecretKey "admin-token" (ne $root.Values.admin.existingSecret "") }}
        path: admin-token
{{- end }}
{{- if $root.Values.redis.embedded }}
- secret:
    name: {{ include "pollux.fullname" $root }}-redis
    items:
      - key: redis-password
        path: redis-password
{{- end }}
{{- end -}}
