{{/* How a monitor scrapes a replica's admin port: dict "root" $ "monitor" .Values.monitoring.podMonitor. */}}
{{- define "pollux.scrape" -}}
port: admin
path: /metrics
interval: {{ .monitor.interval }}
{{- with .monitor.scrapeTimeout }}
scrapeTimeout: {{ . }}
{{- end }}
relabelings:
  # Dashboard and alerts tell releases apart by it.
  - sourceLabels: [__meta_kubernetes_pod_label_app_kubernetes_io_instance]
    targetLabel: release
  # The operator puts the port's name into `endpoint`, and Pollux's own label would be renamed for it.
  - action: labeldrop
    regex: endpoint
  {{- with .monitor.relabelings }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The pods that have metrics: pollers and gateways. */}}
{{- define "pollux.scraped" -}}
matchLabels:
  app.kubernetes.io/name: pollux
  app.kubernetes.io/instance: {{ .Release.Name }}
matchExpressions:
  - key: app.kubernetes.io/component
    operator: In
    values: [poller, gateway]
{{- end -}}

{{/* What selects this release's series: dashboard and alerts are for one Prometheus with many. */}}
{{- define "pollux.series" -}}
namespace="{{ .Release.Namespace }}", release="{{ .Release.Name }}"
{{- end -}}
