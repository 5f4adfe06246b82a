// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.Btf;
import dev.weir.node.bpf.StructLayout;
import dev.weir.node.bpf.StructLayout.Field;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.StringJoiner;
import java.util.regex.Pattern;

/**
 * Where the fields of {@code weir/types.h} lie, as the compiled programs say. Made once per object;
 * throws {@link dev.weir.node.bpf.BpfException} when a field is missing or has another width.
 */
final class Layouts {

  final Generation generation;
  final Workload workload;
  final Identity identity;
  final StructLayout verdictBucket;
  final ServiceKey serviceKey;
  final Service service;
  final StructLayout slots;
  final Backend backend;
  final StructLayout address;
  final Endpoint endpoint;
  final CidrKey cidrKey;
  final Cidr cidr;
  final PortKey portKey;
  final Port port;
  final StructLayout portClasses;
  final Cgroup cgroup;
  final StructLayout path;
  final PairKey pairKey;
  final Pair pair;
  final RefusalKey refusalKey;
  final Event event;
  final Revoked revoked;
  final LimitKey limitKey;
  final Limit limit;
  final StrictKey strictKey;
  final Strict strict;
  final LimitState limitState;
  final EjectionKey ejectionKey;
  final Ejection ejection;
  final Home home;
  private final String form;

  Layouts(Btf btf) {
    generation = new Generation(btf.structure("weir_generation"));
    workload = new Workload(btf.structure("weir_workload"));
    identity = new Identity(btf.structure("weir_identity"));
    verdictBucket = sized(btf, "weir_verdict_bucket", VerdictTable.BUCKET_ROWS * Long.BYTES);
    serviceKey = new ServiceKey(btf.structure("weir_service_key"));
    service = new Service(btf.structure("weir_service"));
    slots = sized(btf, "weir_slots", SLOTS_PER_CHUNK * Short.BYTES);
    backend = new Backend(btf.structure("weir_backend"));
    address = sized(btf, "weir_address", ADDRESS);
    endpoint = new Endpoint(btf.structure("weir_endpoint"));
    cidrKey = new CidrKey(btf.structure("weir_cidr_key"));
    cidr = new Cidr(btf.structure("weir_cidr"));
    portKey = new PortKey(btf.structure("weir_port_key"));
    port = new Port(btf.structure("weir_port"));
    portClasses = sized(btf, "weir_port_classes", PORTS_PER_CHUNK * Short.BYTES);
    home = new Home(btf.structure("weir_home"));
    cgroup = new Cgroup(btf.structure("weir_cgroup"));
    path = sized(btf, "weir_path", PATH_MAX);
    pairKey = new PairKey(btf.structure("weir_pair_key"));
    pair = new Pair(btf.structure("weir_pair"));
    refusalKey = new RefusalKey(btf.structure("weir_refusal_key"));
    event = new Event(btf.structure("weir_event"));
    revoked = new Revoked(btf.structure("weir_revoked"));
    limitKey = new LimitKey(btf.structure("weir_limit_key"));
    limit = new Limit(btf.structure("weir_limit"));
    strictKey = new StrictKey(btf.structure("weir_strict_key"));
    strict = new Strict(btf.structure("weir_strict"));
    limitState = new LimitState(btf.structure("weir_limit_state"));
    ejectionKey = new EjectionKey(btf.structure("weir_ejection_key"));
    ejection = new Ejection(btf.structure("weir_ejection"));
    form = form(btf);
  }

  static final int ADDRESS = 16;
  static final int PATH_MAX = 256;
  static final int SLOTS_PER_CHUNK = 32;
  static final int PORTS_PER_CHUNK = 32;
  static final int COMMAND = 16;
  static final int SLOTS = 2;

  /** What pinned maps hold, also what only the programs read. */
  private static final List<String> KEPT =
      List.of(
          "weir_current",
          "weir_generation",
          "weir_workload",
          "weir_identity",
          "weir_verdict_bucket",
          "weir_service_key",
          "weir_service",
          "weir_slots",
          "weir_backend",
          "weir_endpoint",
          "weir_cidr_key",
          "weir_cidr",
          "weir_port_key",
          "weir_port",
          "weir_port_classes",
          "weir_home",
          "weir_cgroup",
          "weir_path",
          "weir_socket",
          "weir_handover_key",
          "weir_origin",
          "weir_pair_key",
          "weir_pair",
          "weir_refusal_key",
          "weir_limit_key",
          "weir_limit",
          "weir_strict_key",
          "weir_strict",
          "weir_limit_state_key",
          "weir_limit_state",
          "weir_ejection_key",
          "weir_ejection",
          "weir_affinity_key",
          "weir_affinity",
          "weir_reply_key",
          "weir_reply");

  /**
   * All that pinned maps hold, a field on each line: name, offset and width in bytes. Padding is
   * not told: fields to come may take its place.
   */
  String form() {
    return form;
  }

  /**
   * What these layouts do not have where another version has it; nothing if that version's maps can
   * be taken over.
   *
   * @param older {@link #form} of that version
   */
  List<String> differences(String older) {
    Set<String> known = Set.copyOf(form.lines().toList());
    return older.lines().filter(line -> !known.contains(line)).toList();
  }

  private static String form(Btf btf) {
    StringJoiner text = new StringJoiner("\n");
    for (String name : KEPT) {
      btf.structure(name).fields().values().stream()
          .filter(field -> !PADDING.matcher(field.name()).matches())
          .sorted(Comparator.comparingInt(Field::offset).thenComparing(Field::name))
          .forEach(field -> text.add(field.name() + " " + field.offset() + " " + field.width()));
    }
    return text.toString();
  }

  private static final Pattern PADDING = Pattern.compile(".*\\.pad\\d*");

  private static StructLayout sized(Btf btf, String name, int size) {
    StructLayout layout = btf.structure(name);
    if (layout.size() != size) {
      throw new NodeException(
          "struct "
              + name
              + " has "
              + layout.size()
              + " bytes (expected: "
              + size
              + "): the compiled programs and this loader are of different versions; build or"
              + " install both from one source");
    }
    return layout;
  }

  record Home(StructLayout layout, Field workload) {
    Home(StructLayout of) {
      this(of, of.field("workload", 4));
    }
  }

  record Generation(
      StructLayout layout,
      Field number,
      Field verdictSeed,
      Field root,
      Field netns,
      Field verdictMask,
      Field flags,
      Field proxyPort,
      Field meshRule,
      Field node4,
      Field node6) {
    Generation(StructLayout of) {
      this(
          of,
          of.field("number", 8),
          of.field("verdict_seed", 8),
          of.field("root", 8),
          of.field("netns", 8),
          of.field("verdict_mask", 4),
          of.field("flags", 4),
          of.field("proxy_port", 2),
          of.field("mesh_rule", 2),
          of.field("node4", ADDRESS),
          of.field("node6", ADDRESS));
    }
  }

  record Workload(StructLayout layout, Field identity, Field flags) {
    Workload(StructLayout of) {
      this(of, of.field("identity", 2), of.field("flags", 2));
    }
  }

  record Identity(
      StructLayout layout, Field flags, Field ingressRule, Field egressRule, Field strictRule) {
    Identity(StructLayout of) {
      this(
          of,
          of.field("flags", 2),
          of.field("ingress_rule", 2),
          of.field("egress_rule", 2),
          of.field("strict_rule", 2));
    }
  }

  record ServiceKey(StructLayout layout, Field address, Field port, Field protocol) {
    ServiceKey(StructLayout of) {
      this(of, of.field("address", ADDRESS), of.field("port", 2), of.field("protocol", 1));
    }
  }

  record Service(
      StructLayout layout,
      Field workload,
      Field firstSlot,
      Field slots,
      Field identity,
      Field flags,
      Field ejectionMillis,
      Field ejectionFailures,
      Field ejectedPercent,
      Field roster) {
    Service(StructLayout of) {
      this(
          of,
          of.field("workload", 4),
          of.field("first_slot", 4),
          of.field("slots", 4),
          of.field("identity", 2),
          of.field("flags", 2),
          of.field("ejection_ms", 4),
          of.field("ejection_failures", 2),
          of.field("ejected_percent", 1),
          of.field("roster", 1));
    }
  }

  record Backend(StructLayout layout, Field address, Field workload, Field port, Field identity) {
    Backend(StructLayout of) {
      this(
          of,
          of.field("address", ADDRESS),
          of.field("workload", 4),
          of.field("port", 2),
          of.field("identity", 2));
    }
  }

  record Endpoint(StructLayout layout, Field workload, Field identity, Field flags) {
    Endpoint(StructLayout of) {
      this(of, of.field("workload", 4), of.field("identity", 2), of.field("flags", 2));
    }
  }

  record CidrKey(StructLayout layout, Field prefixLength, Field address) {
    CidrKey(StructLayout of) {
      this(of, of.field("prefix_length", 4), of.field("address", ADDRESS));
    }
  }

  record Cidr(StructLayout layout, Field identity) {
    Cidr(StructLayout of) {
      this(of, of.field("identity", 2));
    }
  }

  record PortKey(StructLayout layout, Field netns, Field port, Field protocol) {
    PortKey(StructLayout of) {
      this(of, of.field("netns", 8), of.field("port", 2), of.field("protocol", 1));
    }
  }

  record Port(StructLayout layout, Field workload, Field identity) {
    Port(StructLayout of) {
      this(of, of.field("workload", 4), of.field("identity", 2));
    }
  }

  record Cgroup(StructLayout layout, Field workloads) {
    Cgroup(StructLayout of) {
      this(of, of.field("workload", SLOTS * Integer.BYTES));
    }

    /** Who lives there in one slot of generations. */
    Field workload(int slot) {
      return new Field(workloads.name(), workloads.offset() + slot * Integer.BYTES, Integer.BYTES);
    }
  }

  record PairKey(
      StructLayout layout,
      Field source,
      Field destination,
      Field port,
      Field protocol,
      Field verdict) {
    PairKey(StructLayout of) {
      this(
          of,
          of.field("source", 4),
          of.field("destination", 4),
          of.field("port", 2),
          of.field("protocol", 1),
          of.field("verdict", 1));
    }
  }

  record Pair(
      StructLayout layout,
      Field opened,
      Field closed,
      Field sentBytes,
      Field receivedBytes,
      Field retransmits,
      Field roundTripSum,
      Field roundTripSamples,
      Field durationSum,
      Field connectSum,
      Field failed,
      Field connect) {
    Pair(StructLayout of) {
      this(
          of,
          of.field("opened", 8),
          of.field("closed", 8),
          of.field("sent_bytes", 8),
          of.field("received_bytes", 8),
          of.field("retransmits", 8),
          of.field("srtt_us_sum", 8),
          of.field("srtt_samples", 8),
          of.field("duration_us_sum", 8),
          of.field("connect_us_sum", 8),
          of.field("failed", 8),
          of.field("connect", LATENCY_BUCKETS * Integer.BYTES));
    }

    static final int LATENCY_BUCKETS = 24;
  }

  record RefusalKey(
      StructLayout layout,
      Field source,
      Field destination,
      Field rule,
      Field port,
      Field protocol,
      Field reason) {
    RefusalKey(StructLayout of) {
      this(
          of,
          of.field("source", 4),
          of.field("destination", 4),
          of.field("rule", 4),
          of.field("port", 2),
          of.field("protocol", 1),
          of.field("reason", 1));
    }
  }

  record Event(
      StructLayout layout,
      Field time,
      Field generation,
      Field cgroup,
      Field address,
      Field pid,
      Field source,
      Field destination,
      Field rule,
      Field port,
      Field protocol,
      Field hook,
      Field reason,
      Field command,
      Field left) {
    Event(StructLayout of) {
      this(
          of,
          of.field("time", 8),
          of.field("generation", 8),
          of.field("cgroup", 8),
          of.field("address", ADDRESS),
          of.field("pid", 4),
          of.field("source", 4),
          of.field("destination", 4),
          of.field("rule", 4),
          of.field("port", 2),
          of.field("protocol", 1),
          of.field("hook", 1),
          of.field("reason", 1),
          of.field("comm", COMMAND),
          of.field("left", 8));
    }
  }

  record LimitKey(StructLayout layout, Field destination, Field port, Field protocol) {
    LimitKey(StructLayout of) {
      this(of, of.field("destination", 4), of.field("port", 2), of.field("protocol", 1));
    }
  }

  record Limit(
      StructLayout layout, Field perSecond, Field burst, Field rule, Field port, Field each) {
    Limit(StructLayout of) {
      this(
          of,
          of.field("per_second", 4),
          of.field("burst", 4),
          of.field("rule", 2),
          of.field("port", 2),
          of.field("each", 1));
    }
  }

  record StrictKey(StructLayout layout, Field prefixLength, Field bits) {
    StrictKey(StructLayout of) {
      this(of, of.field("prefix_length", 4), of.field("bits", Integer.BYTES));
    }
  }

  record Strict(StructLayout layout, Field rule) {
    Strict(StructLayout of) {
      this(of, of.field("rule", 2));
    }
  }

  record LimitState(StructLayout layout, Field since, Field level) {
    LimitState(StructLayout of) {
      this(of, of.field("since", 8), of.field("level", 8));
    }
  }

  record EjectionKey(StructLayout layout, Field address, Field source, Field port) {
    EjectionKey(StructLayout of) {
      this(of, of.field("address", ADDRESS), of.field("source", 4), of.field("port", 2));
    }
  }

  record Ejection(StructLayout layout, Field until, Field failures, Field times) {
    Ejection(StructLayout of) {
      this(of, of.field("until", 8), of.field("failures", 4), of.field("times", 4));
    }
  }

  record Revoked(
      StructLayout layout,
      Field local,
      Field remote,
      Field cookie,
      Field source,
      Field destination,
      Field rule,
      Field networkInterface,
      Field localPort,
      Field remotePort,
      Field port,
      Field family,
      Field protocol,
      Field reason,
      Field flags) {
    Revoked(StructLayout of) {
      this(
          of,
          of.field("local", ADDRESS),
          of.field("remote", ADDRESS),
          of.field("cookie", 8),
          of.field("source", 4),
          of.field("destination", 4),
          of.field("rule", 4),
          of.field("interface", 4),
          of.field("local_port", 2),
          of.field("remote_port", 2),
          of.field("port", 2),
          of.field("family", 2),
          of.field("protocol", 1),
          of.field("reason", 1),
          of.field("flags", 1));
    }
  }
}
