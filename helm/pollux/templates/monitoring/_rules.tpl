{{/*
The rules, as the groups of a PrometheusRule; prometheusrule.yaml adds runbook_url and labels. All are for
this release alone, so that many share one Prometheus, and a release whose pods are all gone is missed.
What a roll-out or a single failover does must fire none of them; RUNBOOK.md says what each means.
*/}}
{{- define "pollux.rules" -}}
{{- $of := include "pollux.series" . }}
{{- $at := .Values.monitoring.rules.thresholds }}
{{- $by := "by (namespace, release)" }}
{{- $budget := divf (subf 100 $at.freshnessObjective) 100 }}
{{- $stale := "release:pollux_endpoint_stale:avg" }}
{{- $exporter := .Values.monitoring.rules.redisExporterSelector | default (printf "namespace=%q" .Release.Namespace) }}
groups:
  - name: pollux-{{ .Release.Namespace }}-{{ .Release.Name }}-leadership
    rules:
      - alert: PolluxNoLeader
        expr: |
          max {{ $by }} (pollux_has_leader{ {{- $of -}} }) == 0
        for: 1m
        labels: {severity: critical}
        annotations:
          summary: Nobody leads {{ .Release.Namespace }}/{{ .Release.Name }}, so nothing is polled.
          description: >-
            For a minute no replica has seen anybody hold the lease. Nothing is polled: users still
            get the last data, marked as stale.
      - alert: PolluxNoLeader
        expr: |
          absent(pollux_has_leader{ {{- $of -}} })
        for: 5m
        labels: {severity: critical, reason: unseen}
        annotations:
          summary: No replica of {{ .Release.Namespace }}/{{ .Release.Name }} can be seen.
          description: >-
            For 5 minutes Prometheus has scraped no polling replica. Either there is none, and users
            get the last data or nothing at all; or metrics do not arrive, and nobody would notice.
      - alert: PolluxTwoLeaders
        # Each was seen to lead at every scrape of two minutes, and that for longer than the last
        # sample of a pod that is gone can count.
        expr: |
          sum {{ $by }} (min_over_time(pollux_is_leader{ {{- $of -}} }[2m])) > 1
        for: 3m
        labels: {severity: critical}
        annotations:
          summary: Several replicas of {{ .Release.Namespace }}/{{ .Release.Name }} lead at the same time.
          description: >-
            {{`{{ $value }}`}} replicas have each said for minutes that they lead. The backend gets
            so many times the requests, and readers may see different data, depending on their
            gateway: most likely there are two Redis servers that both take writes.
      - alert: PolluxLeaderFlapping
        expr: |
          round(max {{ $by }} (increase(pollux_leader_changes_total{ {{- $of -}} }[30m]))) > {{ $at.leaderChanges }}
        labels: {severity: warning}
        annotations:
          summary: The leader of {{ .Release.Namespace }}/{{ .Release.Name }} changes again and again.
          description: >-
            {{`{{ $value }}`}} changes in 30 minutes. Each costs users a moment without new data, and
            whatever causes them may soon leave nobody to lead.
      - alert: PolluxLeaseMarginThin
        # Of the time in which the leader may renew, what is left in the worst tenth of the scrapes;
        # only of one that has led all the time, since others' leases are not theirs to renew.
        expr: |
          min {{ $by }} (
            quantile_over_time(0.1, pollux_lease_remaining_seconds{ {{- $of -}} }[10m])
            and on (namespace, pod) min_over_time(pollux_is_leader{ {{- $of -}} }[10m]) == 1
          )
          - max {{ $by }} (pollux_lease_duration_seconds{ {{- $of -}} })
          + max {{ $by }} (pollux_lease_renew_deadline_seconds{ {{- $of -}} })
          < {{ $at.leaseMargin }} * max {{ $by }} (pollux_lease_renew_deadline_seconds{ {{- $of -}} })
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: The leader of {{ .Release.Namespace }}/{{ .Release.Name }} renews its lease late.
          description: >-
            In a tenth of the last ten minutes it was {{`{{ $value | humanizeDuration }}`}} or less
            from giving up. Users feel nothing yet; when Redis becomes any slower, leadership is
            lost, and data stop for as long as the lease lasts.
      {{- if gt (int .Values.replicas) 1 }}
      - alert: PolluxNoStandby
        # Somebody leads, and no other that polls sees it: one that cannot reach Redis is no standby.
        expr: |
          max {{ $by }} (pollux_is_leader{ {{- $of -}} }) == 1
          unless on (namespace, release) (
            pollux_has_leader{ {{- $of -}} } == 1
            and on (namespace, pod) pollux_is_leader{ {{- $of -}} } == 0
          )
          or absent(pollux_has_leader{ {{- $of -}} })
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: No replica of {{ .Release.Namespace }}/{{ .Release.Name }} stands by.
          description: >-
            For 10 minutes nobody could have taken over. Users feel nothing yet; when the leader
            goes, data stop until another replica has started.
      {{- end }}
  - name: pollux-{{ .Release.Namespace }}-{{ .Release.Name }}-data
    # The burn rates count on it: so many samples does a window have.
    interval: 30s
    rules:
      # The share of endpoints that are stale, over all gateways: what the burn rates are made of,
      # since three days of every endpoint's own series would be too much to read. An endpoint that has
      # never answered has no age, one that is no longer configured one that is not a number: neither
      # counts.
      - record: {{ $stale }}
        expr: |
          avg {{ $by }} (
            pollux_endpoint_stale{ {{- $of -}} }
            and on (namespace, pod, endpoint, host) pollux_endpoint_age_seconds{ {{- $of -}} } >= 0
          )
      - alert: PolluxEndpointStale
        # Where nobody leads everything is stale, and PolluxNoLeader says it once.
        expr: |
          sum by (namespace, release, endpoint, host) (pollux_endpoint_stale{ {{- $of -}} }) > 0
          and on (namespace, release) max {{ $by }} (pollux_has_leader{ {{- $of -}} }) == 1
        for: {{ $at.endpointStaleFor }}
        labels: {severity: warning}
        annotations:
          summary: {{ printf "{{ $labels.endpoint }}{{ $labels.host }} of %s/%s is stale." .Release.Namespace .Release.Name | squote }}
          description: >-
            For {{ $at.endpointStaleFor }} {{`{{ $value }}`}} gateways have had no good answer that is
            younger than stale_after. Users of {{`{{ $labels.endpoint }}{{ $labels.host }}`}} see old
            data, marked as stale.
      {{- range list
        (dict "severity" "critical" "long" "1h" "of" 120 "short" "5m" "ofShort" 10 "factor" 14.4 "spent" "2 % of a month's in an hour")
        (dict "severity" "critical" "long" "6h" "of" 720 "short" "30m" "ofShort" 60 "factor" 6.0 "spent" "5 % of a month's in six hours")
        (dict "severity" "warning" "long" "1d" "of" 2880 "short" "2h" "ofShort" 240 "factor" 3.0 "spent" "10 % of a month's in a day")
        (dict "severity" "warning" "long" "3d" "of" 8640 "short" "6h" "ofShort" 720 "factor" 1.0 "spent" "all of a month's by its end") }}
      {{- $limit := mulf .factor $budget }}
      - alert: PolluxFreshnessBudgetBurn
        # Over all samples that the window could have, not those there are: what is not known counts as
        # fresh, or a moment would be a large share of a short history.
        expr: |
          sum_over_time({{ $stale }}{ {{- $of -}} }[{{ .long }}]) / {{ .of }} > {{ $limit }}
          and
          sum_over_time({{ $stale }}{ {{- $of -}} }[{{ .short }}]) / {{ .ofShort }} > {{ $limit }}
        for: 2m
        labels: {severity: {{ .severity }}, window: {{ .long }}}
        annotations:
          summary: {{ $.Release.Namespace }}/{{ $.Release.Name }} uses up its budget of stale data too fast.
          description: >-
            {{`{{ $value | humanizePercentage }}`}} of endpoints' time in the last {{ .long }} was
            stale, with an objective of {{ $at.freshnessObjective }} % fresh. At this rate the budget goes:
            {{ .spent }}. Users see old data, marked as stale.
      {{- end }}
      - alert: PolluxOverPolling
        # Two more than the interval allows are a takeover's, and what increase() guesses.
        expr: |
          sum by (namespace, release, endpoint) (
            increase(pollux_polls_total{ {{- $of -}} , endpoint!="", outcome!="skipped"}[30m])
          )
          > {{ $at.overPolling }} * 1800
            / min by (namespace, release, endpoint) (pollux_endpoint_interval_seconds{ {{- $of -}} , endpoint!=""}) + 2
        for: 10m
        labels: {severity: warning}
        annotations:
          summary: {{ printf "The backend of %s is polled too often by %s/%s." "{{ $labels.endpoint }}" .Release.Namespace .Release.Name | squote }}
          description: >-
            {{`{{ $value | humanize }}`}} polls of {{`{{ $labels.endpoint }}`}} in 30 minutes, over all
            replicas: more than its interval allows. Users feel nothing; the backend does.
      - alert: PolluxFencedPublications
        # Of the last hour's twelve times five minutes, those with any: a single failover has one, at
        # most two.
        expr: |
          count_over_time(
            (sum {{ $by }} (increase(pollux_publications_total{ {{- $of -}} , outcome="fenced"}[5m])) > 0)[1h:5m]
          ) >= {{ $at.fencedPeriods }}
        labels: {severity: warning}
        annotations:
          summary: Publications of {{ .Release.Namespace }}/{{ .Release.Name }} are fenced again and again.
          description: >-
            In {{`{{ $value }}`}} of the last twelve five-minute periods a replica tried to publish
            for a leadership that was over. It was refused, so users saw nothing wrong; but replicas
            that go on working after they have lost the lease freeze, or their clocks stand still.
  - name: pollux-{{ .Release.Namespace }}-{{ .Release.Name }}-operation
    rules:
      - alert: PolluxSlowConsumers
        expr: |
          sum {{ $by }} (rate(pollux_gateway_conflated_total{ {{- $of -}} }[5m]))
          / (
            sum {{ $by }} (rate(pollux_gateway_conflated_total{ {{- $of -}} }[5m]))
            + sum {{ $by }} (rate(pollux_gateway_deliveries_total{ {{- $of -}} }[5m]))
          ) > {{ $at.conflatedShare }}
        for: 15m
        labels: {severity: warning}
        annotations:
          summary: Clients of {{ .Release.Namespace }}/{{ .Release.Name }} do not keep up.
          description: >-
            {{`{{ $value | humanizePercentage }}`}} of publications were skipped for a newer one,
            since streams had not taken them yet. Users see the newest data, but not every change,
            and late.
      - alert: PolluxRedisEvicting
        # An exporter of another Redis does not matter where Pollux knows that its own does not evict.
        expr: |
          sum by (instance) (increase(redis_evicted_keys_total{ {{- $exporter -}} }[15m])) > 0
          unless on () max(pollux_redis_shortcoming{ {{- $of -}} , kind="eviction"}) == 0
        labels:
          severity: critical
          namespace: {{ .Release.Namespace }}
          release: {{ .Release.Name }}
        annotations:
          summary: {{ printf "Redis %s of %s/%s evicts keys." "{{ $labels.instance }}" .Release.Namespace .Release.Name | squote }}
          description: >-
            {{`{{ $value | humanize }}`}} keys in 15 minutes. It may evict the lease, and leadership
            with it; or snapshots, and new gateways have nothing to give to users.
      - alert: PolluxRedisEvicting
        expr: |
          max {{ $by }} (pollux_redis_shortcoming{ {{- $of -}} , kind="eviction"}) == 1
        for: 30m
        labels: {severity: warning}
        annotations:
          summary: The Redis of {{ .Release.Namespace }}/{{ .Release.Name }} may evict the lease when it is full.
          description: >-
            Its maxmemory-policy evicts keys that expire. Users feel nothing until it is full; then
            leadership is lost again and again.
      - alert: PolluxReloadFailed
        expr: |
          max by (namespace, release, pod) (pollux_config_refused{ {{- $of -}} }) > 0
        for: 5m
        labels: {severity: warning}
        annotations:
          summary: {{ printf "{{ $labels.pod }} of %s/%s refuses its configuration." .Release.Namespace .Release.Name | squote }}
          description: >-
            {{`{{ $labels.pod }}`}} found the configuration in place to be wrong, and runs on with
            the one before. Users feel nothing; but a replica that is started anew does not start.
{{- end -}}
