{{/* Refuses values that contradict each other or lack something, all at once, in plain sentences. */}}
{{- define "pollux.validate" -}}
{{- $problems := list -}}
{{- $config := .Values.config | default dict -}}
{{- if not $config -}}
{{- fail (include "pollux.noConfig" .) -}}
{{- end -}}
{{- if not $config.cluster -}}
{{- $problems = append $problems "config.cluster is missing: the name that all replicas share, such as `cluster: example`." -}}
{{- end -}}
{{- if $problems -}}
{{- fail (printf "\n\nThe release cannot be made of these values:\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end -}}

{{- define "pollux.noConfig" -}}


Nothing to poll is configured. Put Pollux's configuration under `config:`, exactly as in a file:

config:
  cluster: example
  redis:
    url: redis://redis.example:6379   # or leave it out, and set redis.embedded=true for a trial
  endpoints:
    - name: prices
      url: http://backend.example/prices
      every: 2s

{{ end -}}
