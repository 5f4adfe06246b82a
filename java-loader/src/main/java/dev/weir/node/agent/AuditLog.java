// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.kernel.Audit;
import dev.weir.node.kernel.Drift;
import io.prometheus.client.Collector;
import io.prometheus.client.Collector.MetricFamilySamples;
import io.prometheus.client.Collector.MetricFamilySamples.Sample;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What an agent's audits have found until now.
 *
 * @param lastMillis when the last one came to its end, milliseconds since 1970; 0 for never
 * @param found drifts of each kind
 * @param repaired how many of them
 * @param nanos that all audits took
 * @param unrepaired what the last one had to leave
 */
record AuditLog(
    long lastMillis,
    Map<Drift.Kind, Long> found,
    long repaired,
    long nanos,
    List<Drift> unrepaired) {

  static final AuditLog NONE = new AuditLog(0, Map.of(), 0, 0, List.of());

  AuditLog {
    found = Map.copyOf(found);
    unrepaired = List.copyOf(unrepaired);
  }

  AuditLog and(Audit audit, long millis) {
    Map<Drift.Kind, Long> sums = new EnumMap<>(Drift.Kind.class);
    sums.putAll(found);
    audit.drifts().forEach(drift -> sums.merge(drift.kind(), 1L, Long::sum));
    return new AuditLog(
        millis,
        sums,
        repaired + audit.drifts().stream().filter(Drift::repaired).count(),
        nanos + audit.took().toNanos(),
        audit.unrepaired());
  }

  static String word(Drift.Kind kind) {
    return kind.name().toLowerCase(Locale.ROOT);
  }

  Map<String, Object> json() {
    Map<String, Object> json = new LinkedHashMap<>();
    if (lastMillis != 0) {
      json.put("last", Instant.ofEpochMilli(lastMillis).truncatedTo(ChronoUnit.SECONDS).toString());
    }
    json.put("found", found.values().stream().mapToLong(Long::longValue).sum());
    json.put("repaired", repaired);
    json.put("unrepaired", unrepaired.stream().map(Drift::what).toList());
    return json;
  }

  List<MetricFamilySamples> families() {
    List<Sample> drifts = new ArrayList<>();
    for (Drift.Kind kind : Drift.Kind.values()) {
      drifts.add(
          new Sample(
              "weir_drift_total",
              List.of("kind"),
              List.of(word(kind)),
              found.getOrDefault(kind, 0L)));
    }
    return List.of(
        new MetricFamilySamples(
            "weir_drift",
            Collector.Type.COUNTER,
            "Things found otherwise in the kernel than the plan says.",
            drifts),
        Agent.counter("weir_drift_repaired", "How many of them were repaired.", repaired),
        Agent.gauge(
            "weir_drift_unrepaired", "What the last audit had to leave.", unrepaired.size()),
        seconds(
            "weir_audit_seconds_total", Collector.Type.COUNTER, "Time audits took.", nanos / 1e9),
        seconds(
            "weir_audit_last_success_timestamp_seconds",
            Collector.Type.GAUGE,
            "When kernel and plan were compared last.",
            lastMillis / 1e3));
  }

  private static MetricFamilySamples seconds(
      String name, Collector.Type type, String help, double value) {
    String family = name.endsWith("_total") ? name.substring(0, name.length() - 6) : name;
    return new MetricFamilySamples(
        family, type, help, List.of(new Sample(name, List.of(), List.of(), value)));
  }
}
