// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.plan;

import dev.weir.policy.plan.TrafficPolicy.CanaryRollback;
import dev.weir.policy.plan.TrafficPolicy.CircuitLimits;
import dev.weir.policy.plan.TrafficPolicy.ConnectionRate;
import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.HealthCheckType;
import dev.weir.policy.plan.TrafficPolicy.Level;
import dev.weir.policy.plan.TrafficPolicy.Locality;
import dev.weir.policy.plan.TrafficPolicy.OutlierEjection;
import dev.weir.policy.plan.TrafficPolicy.PacketRate;
import dev.weir.policy.plan.TrafficPolicy.ProxyUnavailable;
import dev.weir.policy.plan.TrafficPolicy.RequestKey;
import dev.weir.policy.plan.TrafficPolicy.RequestRate;
import dev.weir.policy.plan.TrafficPolicy.RequestRates;
import dev.weir.policy.plan.TrafficPolicy.Scope;
import dev.weir.policy.plan.TrafficPolicy.Setting;
import dev.weir.policy.plan.TrafficPolicy.SlowStart;
import dev.weir.policy.plan.TrafficPolicy.StickyKey;
import dev.weir.policy.plan.TrafficPolicy.StickySplit;
import dev.weir.policy.plan.TrafficPolicy.Target;
import dev.weir.policy.plan.TrafficPolicy.TargetKind;
import dev.weir.policy.plan.TrafficPolicy.Unavailable;
import java.util.List;

/** The part of {@link PlanCodec} about TrafficPolicies. */
final class TrafficCodec {

  private TrafficCodec() {}

  /** Which type of setting follows; the order is that of the format. */
  private enum Type {
    CONNECTION_RATE,
    PACKET_RATE,
    REQUEST_RATES,
    OUTLIER_EJECTION,
    CIRCUIT_LIMITS,
    HEALTH_CHECK,
    LOCALITY,
    CANARY_ROLLBACK,
    PROXY_UNAVAILABLE,
    STICKY_SPLIT,
    SLOW_START
  }

  static void write(BinaryWriter out, List<TrafficPolicy> policies) {
    out.list(
        policies,
        p -> {
          out.number(p.rule());
          out.list(
              p.targets(),
              t -> {
                out.ordinal(t.kind());
                out.number(t.index());
                out.text(t.section());
                out.number(t.port());
              });
          out.list(p.settings(), s -> write(out, s));
        });
  }

  private static void write(BinaryWriter out, Setting setting) {
    switch (setting) {
      case ConnectionRate rate -> {
        out.ordinal(Type.CONNECTION_RATE);
        numbers(out, rate.perSecond(), rate.burst());
        out.ordinal(rate.scope());
      }
      case PacketRate rate -> {
        out.ordinal(Type.PACKET_RATE);
        numbers(out, rate.perSecond(), rate.burst());
        out.ordinal(rate.scope());
      }
      case RequestRates rates -> {
        out.ordinal(Type.REQUEST_RATES);
        out.list(
            rates.rates(),
            r -> {
              numbers(out, r.requests(), r.unitSeconds(), r.burst());
              out.ordinal(r.key());
              out.text(r.header());
            });
      }
      case OutlierEjection ejection -> {
        out.ordinal(Type.OUTLIER_EJECTION);
        numbers(
            out,
            ejection.consecutiveErrors(),
            ejection.intervalMillis(),
            ejection.baseEjectionMillis(),
            ejection.maxEjectedPercent());
      }
      case CircuitLimits limits -> {
        out.ordinal(Type.CIRCUIT_LIMITS);
        numbers(
            out,
            limits.connections(),
            limits.pendingRequests(),
            limits.requests(),
            limits.retries());
      }
      case HealthCheck check -> {
        out.ordinal(Type.HEALTH_CHECK);
        out.ordinal(check.type());
        out.number(check.port());
        out.text(check.path());
        out.text(check.host());
        numbers(
            out,
            check.intervalMillis(),
            check.timeoutMillis(),
            check.healthyThreshold(),
            check.unhealthyThreshold(),
            check.firstStatus(),
            check.lastStatus());
      }
      case Locality locality -> {
        out.ordinal(Type.LOCALITY);
        out.list(locality.prefer(), out::ordinal);
      }
      case CanaryRollback rollback -> {
        out.ordinal(Type.CANARY_ROLLBACK);
        out.text(rollback.service());
        numbers(
            out,
            // -1 means not to look.
            rollback.errorMarginPercent() + 1,
            rollback.p99MarginPercent() + 1,
            rollback.windowSeconds(),
            rollback.minimumRequests());
      }
      case ProxyUnavailable unavailable -> {
        out.ordinal(Type.PROXY_UNAVAILABLE);
        out.ordinal(unavailable.action());
      }
      case SlowStart slow -> {
        out.ordinal(Type.SLOW_START);
        out.number(slow.windowMillis());
      }
      case StickySplit sticky -> {
        out.ordinal(Type.STICKY_SPLIT);
        out.ordinal(sticky.key());
        out.text(sticky.name());
        out.number(sticky.cookieSeconds());
      }
    }
  }

  private static void numbers(BinaryWriter out, int... values) {
    for (int value : values) {
      out.number(value);
    }
  }

  static List<TrafficPolicy> read(BinaryReader in, int workloads, int rules)
      throws PlanFormatException {
    return in.list(
        () ->
            new TrafficPolicy(
                in.index(rules),
                in.list(
                    () -> {
                      TargetKind kind = in.ordinal(TargetKind.values());
                      boolean place = kind == TargetKind.SERVICE || kind == TargetKind.WORKLOAD;
                      return new Target(
                          kind, in.index(place ? workloads : rules), in.text(), number(in));
                    }),
                in.list(() -> setting(in))));
  }

  private static Setting setting(BinaryReader in) throws PlanFormatException {
    return switch (in.ordinal(Type.values())) {
      case CONNECTION_RATE ->
          new ConnectionRate(number(in), number(in), in.ordinal(Scope.values()));
      case PACKET_RATE -> new PacketRate(number(in), number(in), in.ordinal(Scope.values()));
      case REQUEST_RATES ->
          new RequestRates(
              in.list(
                  () ->
                      new RequestRate(
                          number(in),
                          number(in),
                          number(in),
                          in.ordinal(RequestKey.values()),
                          in.text())));
      case OUTLIER_EJECTION -> new OutlierEjection(number(in), number(in), number(in), number(in));
      case CIRCUIT_LIMITS -> new CircuitLimits(number(in), number(in), number(in), number(in));
      case HEALTH_CHECK ->
          new HealthCheck(
              in.ordinal(HealthCheckType.values()),
              number(in),
              in.text(),
              in.text(),
              number(in),
              number(in),
              number(in),
              number(in),
              number(in),
              number(in));
      case LOCALITY -> new Locality(in.list(() -> in.ordinal(Level.values())));
      case CANARY_ROLLBACK ->
          new CanaryRollback(in.text(), number(in) - 1, number(in) - 1, number(in), number(in));
      case PROXY_UNAVAILABLE -> new ProxyUnavailable(in.ordinal(Unavailable.values()));
      case SLOW_START -> new SlowStart(number(in));
      case STICKY_SPLIT -> new StickySplit(in.ordinal(StickyKey.values()), in.text(), number(in));
    };
  }

  private static int number(BinaryReader in) throws PlanFormatException {
    return in.integer(Integer.MAX_VALUE);
  }
}
