// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.Descriptor;
import dev.weir.node.bpf.Errno;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.locks.LockSupport;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The maps of one mesh, opened. */
final class Mesh implements AutoCloseable {

  /** Where a program is attached. */
  enum Target {
    TRACEPOINT,
    ROOT,
    /** At the root, but only while a plan asks for it: it runs for each packet. */
    ROOT_ON_DEMAND,
    PROXY,
    /** Nowhere: it is run when something is to be walked over. */
    ITERATOR
  }

  /**
   * How a program is attached.
   *
   * @param attachType {@code enum bpf_attach_type}
   */
  record Attachment(Target target, int attachType) {}

  private record Place(Target target, int order) {}

  private static final int CGROUP_SKB = 8;
  private static final int CGROUP_SOCK = 9;
  private static final int SOCK_OPS = 13;
  private static final int CGROUP_SOCK_ADDR = 18;
  private static final int CGROUP_SOCKOPT = 25;
  private static final int TRACING = 26;
  private static final int TRACE_ITER = 28;
  private static final int PACKETS_LEAVE = 1;

  /**
   * {@code enum bpf_attach_type}, in the order of attaching: who lives where first, then what
   * remembers, then what decides. A connection that is steered before the programs that carry its
   * origin along are attached would be lost.
   */
  private static final List<Integer> ORDER =
      List.of(
          28, // BPF_TRACE_ITER, attached to nothing
          23, // BPF_TRACE_RAW_TP
          2, // BPF_CGROUP_INET_SOCK_CREATE
          34, // BPF_CGROUP_INET_SOCK_RELEASE
          3, // BPF_CGROUP_SOCK_OPS
          21, // BPF_CGROUP_GETSOCKOPT
          8, // BPF_CGROUP_INET4_BIND
          9, // BPF_CGROUP_INET6_BIND
          12, // BPF_CGROUP_INET4_POST_BIND
          13, // BPF_CGROUP_INET6_POST_BIND
          29, // BPF_CGROUP_INET4_GETPEERNAME
          30, // BPF_CGROUP_INET6_GETPEERNAME
          19, // BPF_CGROUP_UDP4_RECVMSG
          20, // BPF_CGROUP_UDP6_RECVMSG
          14, // BPF_CGROUP_UDP4_SENDMSG
          15, // BPF_CGROUP_UDP6_SENDMSG
          PACKETS_LEAVE, // BPF_CGROUP_INET_EGRESS
          10, // BPF_CGROUP_INET4_CONNECT
          11, // BPF_CGROUP_INET6_CONNECT
          0); // BPF_CGROUP_INET_INGRESS: whoever sent before the others were attached is unknown

  /**
   * Programs that not every kernel takes, each with the one that is loaded in its place. Their
   * sections begin with a question mark: libbpf loads neither unless told.
   */
  private static final Map<String, String> SUBSTITUTES =
      Map.of(
          Revocation.DESTROY_TCP, Revocation.LIST_TCP,
          Revocation.DESTROY_UDP, Revocation.LIST_UDP);

  /** Looks at the processes that are older than what watches cgroups. */
  private static final String TASKS = "weir_tasks";

  /** What is pinned and has no link. */
  static final Set<String> WALKERS =
      Set.of(
          Revocation.DESTROY_TCP,
          Revocation.DESTROY_UDP,
          Revocation.LIST_TCP,
          Revocation.LIST_UDP,
          OpenConnections.PROGRAM,
          TASKS);

  /** Attached only while a plan limits packets. */
  static final String PACKET_PROGRAM = "weir_packet";

  /** The program at the proxy's cgroup, which is there only with plans that need a proxy. */
  static final String PROXY_PROGRAM = "weir_getsockopt";

  /**
   * What enrols cgroups when they are made. A kernel may have no such tracepoints, or let nobody
   * use them; then an agent must do it, later.
   */
  static final Set<String> TRACEPOINTS =
      Set.of("weir_cgroup_mkdir", "weir_cgroup_rmdir", "weir_cgroup_attach_task", "weir_fork");

  /** Maps whose capacity follows the budget, below what the programs say as well as above. */
  private static final Set<String> SIZED =
      Stream.concat(TelemetryRoom.MAPS.stream(), ConnectionRoom.MAPS.stream())
          .collect(Collectors.toSet());

  static final String ADDRESSES = "addresses";
  static final String CURRENT = "current";
  static final String PATHS = "paths";
  static final String CGROUPS = "cgroups";
  static final String PAIRS = "pairs";
  static final String REFUSALS = "refusals";
  static final String COUNTERS = "counters";
  static final String EVENTS = "events";
  static final String EVENT_BUDGETS = "event_budgets";
  static final String EJECTIONS = "ejections";
  static final String AFFINITIES = "affinities";
  static final String HANDOVERS = "handovers";
  static final String HOMES = "homes";
  static final String LIMIT_STATES = "limit_states";
  static final String SOCKETS = "sockets";

  private final Layouts layouts;
  private final Map<String, BpfMap> maps;

  private Mesh(Layouts layouts, Map<String, BpfMap> maps) {
    this.layouts = layouts;
    this.maps = maps;
  }

  /** Where a program goes; empty for one that is never attached, such as a test's. */
  private static Optional<Place> place(Declarations.Program program) {
    int order = ORDER.indexOf(program.attachType());
    if (order < 0) {
      return Optional.empty();
    }
    return switch (program.type()) {
      case TRACING ->
          Optional.of(
              new Place(
                  program.attachType() == TRACE_ITER ? Target.ITERATOR : Target.TRACEPOINT, order));
      case CGROUP_SOCKOPT -> Optional.of(new Place(Target.PROXY, order));
      case CGROUP_SKB ->
          Optional.of(
              new Place(
                  program.attachType() == PACKETS_LEAVE ? Target.ROOT_ON_DEMAND : Target.ROOT,
                  order));
      case CGROUP_SOCK, SOCK_OPS, CGROUP_SOCK_ADDR -> Optional.of(new Place(Target.ROOT, order));
      default -> Optional.empty();
    };
  }

  /** Those that are attached, in order. */
  private static List<Declarations.Program> attachable(Declarations declared) {
    return declared.programs().values().stream()
        .filter(program -> program.loads() && place(program).isPresent())
        .sorted(
            Comparator.comparing((Declarations.Program p) -> place(p).map(Place::order).orElse(0))
                .thenComparing(Declarations.Program::name))
        .toList();
  }

  /** How each program is attached, by name. */
  static Map<String, Attachment> attachments(CompiledPrograms compiled) {
    Map<String, Attachment> attachments = new HashMap<>();
    for (Declarations.Program program : compiled.declarations().programs().values()) {
      place(program)
          .ifPresent(
              place ->
                  attachments.put(
                      program.name(), new Attachment(place.target(), program.attachType())));
    }
    return attachments;
  }

  private static void skipOthers(BpfObject object) {
    object.programs().values().stream()
        .filter(program -> place(Declarations.Program.of(program)).isEmpty())
        .forEach(BpfObject.Program::skip);
  }

  /**
   * Programs and maps just loaded, in nobody's way yet. What is not pinned goes with {@link
   * #close}.
   */
  static final class Loaded implements AutoCloseable {
    private final Mesh mesh;
    private final List<Declarations.Program> declared;
    private final Map<String, BpfProgram> programs;
    private final Map<String, BpfLink> links = new LinkedHashMap<>();
    private final BpfObject object;
    private final CompiledPrograms compiled;
    private Optional<String> untraced = Optional.empty();

    private Loaded(
        CompiledPrograms compiled,
        Map<String, Integer> sizes,
        Map<String, BpfMap> reuse,
        Collection<String> optional) {
      this.compiled = compiled;
      object = compiled.open();
      try {
        object.programs().values().stream()
            .filter(program -> optional.contains(program.name()))
            .forEach(program -> program.load(true));
        skipOthers(object);
        sizes.forEach(
            (name, entries) ->
                Optional.ofNullable(object.maps().get(name))
                    .filter(map -> SIZED.contains(name) || map.maxEntries() < entries)
                    .ifPresent(map -> map.maxEntries(entries)));
        reuse.forEach(
            (name, map) ->
                Optional.ofNullable(object.maps().get(name)).ifPresent(to -> to.reuse(map)));
        declared = attachable(Declarations.of(object));
        Map<String, BpfObject.Program> all = object.programs();
        List<BpfObject.Program> wanted =
            declared.stream()
                .flatMap(program -> Optional.ofNullable(all.get(program.name())).stream())
                .toList();
        Loading.InKernel loaded =
            (reuse.isEmpty() ? compiled.loading() : Loading.ANEW).load(object, wanted);
        programs = loaded.programs();
        mesh = new Mesh(compiled.layouts(), loaded.maps());
      } catch (RuntimeException e) {
        object.close();
        throw e;
      }
    }

    Mesh mesh() {
      return mesh;
    }

    /** Why this kernel takes nothing that watches cgroups; empty when it does. */
    Optional<String> untraced() {
      return untraced;
    }

    /** Attaches what watches cgroups come and go: all of it or, where that is refused, nothing. */
    void attachTracing(Consumer<Step> steps) {
      try {
        for (Declarations.Program program : declared) {
          if (targetOf(program) == Target.TRACEPOINT) {
            links.put(
                program.name(),
                BpfLink.attach(program.name(), program(program.name()), program.attachType()));
            steps.accept(Step.ATTACHED);
          }
        }
        program(TASKS).iterate(1, record -> {});
      } catch (BpfException e) {
        for (String name : TRACEPOINTS) {
          Optional.ofNullable(links.remove(name)).ifPresent(BpfLink::close);
        }
        untraced = Optional.of(String.valueOf(e.getMessage()));
      }
    }

    /**
     * Attaches what remembers and decides.
     *
     * @param packets whether the plan limits packets
     */
    void attachCgroups(Path root, Optional<Path> proxy, boolean packets, Consumer<Step> steps) {
      for (Declarations.Program program : declared) {
        Optional<Path> directory =
            switch (targetOf(program)) {
              case TRACEPOINT, ITERATOR -> Optional.empty();
              case ROOT -> Optional.of(root);
              case ROOT_ON_DEMAND -> packets ? Optional.of(root) : Optional.empty();
              case PROXY -> proxy;
            };
        directory.ifPresent(
            path -> {
              try (Descriptor cgroup = Descriptor.open(path)) {
                links.put(
                    program.name(),
                    BpfLink.attach(
                        program.name(), program(program.name()), cgroup, program.attachType()));
              }
              steps.accept(Step.ATTACHED);
            });
      }
    }

    private BpfProgram program(String name) {
      return Optional.ofNullable(programs.get(name)).orElseThrow();
    }

    /** Pins everything. */
    void pin(Pins pins, Consumer<Step> steps) {
      pins.make();
      mesh.maps.forEach((name, map) -> pin(() -> map.pin(pins.map(name)), steps));
      programs.forEach((name, program) -> pin(() -> program.pin(pins.program(name)), steps));
      links.forEach((name, link) -> pin(() -> link.pin(pins.link(name)), steps));
    }

    private static void pin(Runnable pinning, Consumer<Step> steps) {
      pinning.run();
      steps.accept(Step.PINNED);
    }

    @Override
    public void close() {
      links.values().forEach(BpfLink::close);
      programs.values().forEach(BpfProgram::close);
      mesh.close();
      object.close();
    }
  }

  private static Target targetOf(Declarations.Program program) {
    return place(program).map(Place::target).orElseThrow();
  }

  /**
   * Loads programs and makes maps.
   *
   * @param sizes capacity by name: of maps that fill at run time exactly, of others at least
   */
  static Loaded load(CompiledPrograms compiled, Map<String, Integer> sizes, RevocationWay way) {
    return load(compiled, sizes, Map.of(), way);
  }

  /**
   * Whether this kernel takes what watches cgroups is asked by loading it. If the rest loads
   * without that, it was that; else what was said first is the matter.
   */
  private static Loaded load(
      CompiledPrograms compiled,
      Map<String, Integer> sizes,
      Map<String, BpfMap> reuse,
      RevocationWay way) {
    try {
      return loadAll(compiled, sizes, reuse, way);
    } catch (BpfException e) {
      try {
        Loaded loaded = loadAll(compiled.without(TRACEPOINTS), sizes, reuse, way);
        loaded.untraced = Optional.of(String.valueOf(e.getMessage()));
        return loaded;
      } catch (BpfException again) {
        throw e;
      }
    }
  }

  /** Whether this kernel takes the programs that have substitutes is asked by loading them. */
  private static Loaded loadAll(
      CompiledPrograms compiled,
      Map<String, Integer> sizes,
      Map<String, BpfMap> reuse,
      RevocationWay way) {
    if (way == RevocationWay.BEST) {
      try {
        return new Loaded(compiled, sizes, reuse, SUBSTITUTES.keySet());
      } catch (BpfException e) {
        // If it was not for these, the same is said once more.
        return new Loaded(compiled, sizes, reuse, SUBSTITUTES.values());
      }
    }
    return new Loaded(compiled, sizes, reuse, SUBSTITUTES.values());
  }

  /** Opens the pinned maps; empty when {@code current} is not pinned. */
  static Optional<Mesh> open(Layouts layouts, Pins pins) {
    Map<String, BpfMap> maps = new HashMap<>();
    try {
      for (Path pin : DurableFile.list(pins.maps())) {
        maps.put(String.valueOf(pin.getFileName()), BpfMap.open(pin));
      }
    } catch (RuntimeException e) {
      maps.values().forEach(BpfMap::close);
      if (e instanceof BpfException failure && failure.errno() == Errno.ENOENT) {
        return Optional.empty(); // going away under our eyes
      }
      throw e;
    }
    if (!maps.containsKey(CURRENT)) {
      maps.values().forEach(BpfMap::close);
      return Optional.empty();
    }
    return Optional.of(new Mesh(layouts, maps));
  }

  /**
   * What {@link #repair} did.
   *
   * @param replaced whether a program was replaced
   * @param untraced why this kernel took nothing that watches cgroups, if it was asked to
   * @param remarks what to tell
   */
  record Repair(boolean replaced, Optional<String> untraced, List<String> remarks) {}

  /**
   * Makes what is pinned complete and new: programs that have changed take the place of the old
   * ones in their links, links that are missing are made again, and maps that this version wants
   * larger get successors before the programs that use them are in any link.
   *
   * @param upgrade whether programs may have changed
   * @param inForce what is in force, to be written into tables of this version
   * @throws NodeException when maps cannot be taken over; nothing has been done then
   */
  Repair repair(
      CompiledPrograms compiled,
      Pins pins,
      boolean upgrade,
      Path root,
      Optional<Path> proxy,
      RevocationWay way,
      Supplier<Generation> inForce,
      Consumer<Step> steps) {
    pins.make();
    List<String> remarks = new ArrayList<>();
    Set<String> outgrown = outgrown(compiled, remarks);
    boolean replaced = false;
    CompiledPrograms taken = compiled;
    Optional<String> untraced = Optional.empty();
    if (upgrade || !outgrown.isEmpty() || programsMissing(compiled, pins)) {
      Map<String, BpfMap> staying = new HashMap<>(maps);
      staying.keySet().removeAll(outgrown);
      try (Loaded loaded = load(compiled, pinnedRoom(outgrown), staying, way)) {
        taken = loaded.compiled;
        untraced = loaded.untraced();
        MapGrowth growth = new MapGrowth();
        fillSuccessors(loaded.mesh, outgrown, inForce, growth);
        loaded.mesh.maps.forEach(
            (name, map) -> {
              if (!maps.containsKey(name)) {
                map.pin(pins.map(name));
                maps.put(name, BpfMap.open(pins.map(name)));
              }
            });
        for (Declarations.Program program : loaded.declared) {
          replaced |= replace(program, loaded.program(program.name()), pins, !outgrown.isEmpty());
          steps.accept(Step.EXCHANGED);
        }
        succeed(loaded.mesh, outgrown, growth, pins, steps);
      }
      removeStrangers(compiled, pins);
    }
    for (Declarations.Program program : attachable(taken.declarations())) {
      try {
        if (repairLink(program, pins, root, proxy)) {
          steps.accept(Step.EXCHANGED);
        }
      } catch (BpfException e) {
        if (targetOf(program) != Target.TRACEPOINT) {
          throw e;
        }
        untraced = Optional.of(String.valueOf(e.getMessage()));
      }
    }
    if (replaced) {
      try (BpfProgram tasks = BpfProgram.open(pins.program(TASKS))) {
        tasks.iterate(1, record -> {});
      }
    }
    return new Repair(replaced, untraced, remarks);
  }

  /**
   * The maps that this version wants larger than they are pinned.
   *
   * @throws NodeException when one of them can have no successor
   */
  private Set<String> outgrown(CompiledPrograms compiled, List<String> remarks) {
    Set<String> outgrown = new TreeSet<>();
    List<String> wrong = new ArrayList<>();
    compiled
        .declarations()
        .maps()
        .forEach(
            (name, declared) -> {
              BpfMap pinned = maps.get(name);
              if (pinned == null) {
                return;
              }
              boolean stays = MapGrowth.Way.of(name) == MapGrowth.Way.STAYS;
              boolean longer = pinned.valueSize() < declared.valueSize();
              int room = SIZED.contains(name) ? pinned.maxEntries() : declared.maxEntries();
              if (pinned.keySize() != declared.keySize()
                  || pinned.valueSize() > declared.valueSize()
                  || (longer && stays)) {
                wrong.add(name);
              } else if (pinned.maxEntries() < room && stays) {
                remarks.add(
                    "table "
                        + name
                        + " keeps its room for "
                        + pinned.maxEntries()
                        + " entries until weir down and weir apply make it anew, with "
                        + room);
              } else if (longer || pinned.maxEntries() < room) {
                outgrown.add(name);
              }
            });
    for (Table table : Table.values()) {
      if (!maps.containsKey(table.map())) {
        // What the generation in force has to say there, its other tables do not say either.
        outgrown.addAll(MapGrowth.TABLES);
        continue;
      }
      for (int slot = 0; slot < 2; slot++) {
        try (Closing<BpfMap> inner = new Closing<>(inner(table, slot))) {
          inner
              .value()
              .ifPresent(
                  map -> {
                    if (map.valueSize() > valueSize(table)) {
                      wrong.add(table.map());
                    } else if (map.valueSize() < valueSize(table)) {
                      outgrown.addAll(MapGrowth.TABLES);
                    }
                  });
        }
      }
    }
    if (!wrong.isEmpty()) {
      throw new NodeException(
          "the pinned maps "
              + String.join(", ", wrong)
              + " have another form than this version's: run weir down, then weir apply");
    }
    outgrown.retainAll(maps.keySet());
    return outgrown;
  }

  /** What follows the budget keeps the room it was given by the first apply. */
  private Map<String, Integer> pinnedRoom(Set<String> outgrown) {
    return outgrown.stream()
        .filter(SIZED::contains)
        .collect(Collectors.toMap(name -> name, name -> map(name).maxEntries()));
  }

  /** What the programs of this version will find, before the first of them runs. */
  private void fillSuccessors(
      Mesh next, Set<String> outgrown, Supplier<Generation> inForce, MapGrowth growth) {
    for (String name : outgrown) {
      switch (MapGrowth.Way.of(name)) {
        case COPIED, ADDED_UP -> growth.copy(name, map(name), next.map(name));
        case ANEW, STAYS -> {}
      }
    }
    if (outgrown.contains(Table.GENERATIONS.map())) {
      next.write(slot().slot(), inForce.get());
    }
  }

  /** All links run this version's programs: what they use takes the pins. */
  private void succeed(
      Mesh next, Set<String> outgrown, MapGrowth growth, Pins pins, Consumer<Step> steps) {
    if (outgrown.isEmpty()) {
      return;
    }
    next.barrier(slot().slot()); // the last run of a program before has ended
    for (String name : outgrown) {
      BpfMap heir = next.map(name);
      if (MapGrowth.Way.of(name) == MapGrowth.Way.ADDED_UP) {
        growth.addRest(name, map(name), heir);
      }
      pinOver(heir::pin, pins.map(name));
      Optional.ofNullable(maps.put(name, BpfMap.open(pins.map(name)))).ifPresent(BpfMap::close);
      steps.accept(Step.GROWN);
    }
  }

  /** Links and programs that this version does not have. */
  private static void removeStrangers(CompiledPrograms compiled, Pins pins) {
    pins.removeBut(compiled.declarations().programs().keySet());
  }

  private static boolean programsMissing(CompiledPrograms compiled, Pins pins) {
    return attachable(compiled.declarations()).stream()
            .anyMatch(program -> !Files.exists(pins.program(program.name())))
        || SUBSTITUTES.entrySet().stream()
            .anyMatch(
                pair ->
                    !Files.exists(pins.program(pair.getKey()))
                        && !Files.exists(pins.program(pair.getValue())));
  }

  /** One program: in its link first, then under its name. */
  private static boolean replace(
      Declarations.Program program, BpfProgram loaded, Pins pins, boolean otherMaps) {
    Path pin = pins.program(program.name());
    Optional<String> before = tagOf(pin);
    Optional<BpfLink> link = openLink(pins.link(program.name()));
    boolean linkRunsOther = false;
    try {
      if (link.isPresent()) {
        try (BpfProgram running = BpfProgram.byId(link.get().programId())) {
          // A tag says nothing of the maps.
          linkRunsOther = otherMaps || !running.tag().equals(loaded.tag());
        }
        if (linkRunsOther) {
          if (targetOf(program) == Target.TRACEPOINT) {
            // The kernel cannot exchange the program of a tracing link. For a moment both run; to
            // enrol a cgroup twice is to enrol it.
            try (BpfLink next = BpfLink.attach(program.name(), loaded, program.attachType())) {
              pinOver(next::pin, pins.link(program.name()));
            }
          } else {
            link.get().update(loaded);
          }
        }
      }
    } finally {
      link.ifPresent(BpfLink::close);
    }
    if (otherMaps || !before.equals(Optional.of(loaded.tag()))) {
      pinOver(loaded::pin, pin);
    }
    return linkRunsOther;
  }

  static void pinOver(Consumer<Path> pinning, Path pin) {
    Path beside = Pins.beside(pin);
    DurableFile.remove(beside);
    pinning.accept(beside);
    Pins.rename(beside, pin);
  }

  private static Optional<String> tagOf(Path pin) {
    return existing(
        () -> {
          try (BpfProgram program = BpfProgram.open(pin)) {
            return program.tag();
          }
        });
  }

  static Optional<BpfLink> openLink(Path pin) {
    return existing(() -> BpfLink.open(pin));
  }

  static <T> Optional<T> existing(Supplier<T> open) {
    try {
      return Optional.of(open.get());
    } catch (BpfException e) {
      if (e.errno() == Errno.ENOENT) {
        return Optional.empty();
      }
      throw e;
    }
  }

  /** Whether it had to be made. */
  private static boolean repairLink(
      Declarations.Program program, Pins pins, Path root, Optional<Path> proxy) {
    return switch (targetOf(program)) {
      case ITERATOR, ROOT_ON_DEMAND -> false;
      case ROOT -> attachAt(root, program.name(), program.attachType(), pins);
      case PROXY ->
          proxy.isPresent() && attachAt(proxy.get(), program.name(), program.attachType(), pins);
      case TRACEPOINT -> attachTracing(program, pins);
    };
  }

  /** Has each packet looked at, or none. */
  static void watchPackets(Pins pins, Path root, boolean wanted) {
    if (wanted) {
      var _ = attachAt(root, PACKET_PROGRAM, PACKETS_LEAVE, pins);
    } else {
      DurableFile.remove(pins.link(PACKET_PROGRAM));
    }
  }

  /** Attaches a pinned program at a cgroup; false when it is there already. */
  private static boolean attachAt(Path directory, String name, int attachType, Pins pins) {
    Path pin = pins.link(name);
    Optional<BpfLink> link = openLink(pin);
    if (link.isPresent()) {
      try (BpfLink present = link.get()) {
        if (OptionalLong.of(present.cgroupId()).equals(Enrollment.Hierarchy.id(directory))) {
          return false;
        }
      }
    }
    try (BpfProgram loaded = BpfProgram.open(pins.program(name));
        Descriptor cgroup = Descriptor.open(directory);
        BpfLink made = BpfLink.attach(name, loaded, cgroup, attachType)) {
      pinOver(made::pin, pin);
    }
    return true;
  }

  /** The same for a program that is attached nowhere in particular. */
  private static boolean attachTracing(Declarations.Program program, Pins pins) {
    Path pin = pins.link(program.name());
    Optional<BpfLink> link = openLink(pin);
    link.ifPresent(BpfLink::close);
    if (link.isPresent()) {
      return false;
    }
    try (BpfProgram loaded = BpfProgram.open(pins.program(program.name()));
        BpfLink made = BpfLink.attach(program.name(), loaded, program.attachType())) {
      pinOver(made::pin, pin);
    }
    return true;
  }

  private int valueSize(Table table) {
    return switch (table) {
      case GENERATIONS -> layouts.generation.layout().size();
      case WORKLOADS -> layouts.workload.layout().size();
      case IDENTITIES -> layouts.identity.layout().size();
      case VERDICTS -> layouts.verdictBucket.size();
      case RULES -> Integer.BYTES;
      case SERVICES -> layouts.service.layout().size();
      case SLOTS -> layouts.slots.size();
      case BACKENDS -> layouts.backend.layout().size();
      case ENDPOINTS -> layouts.endpoint.layout().size();
      case CIDRS -> layouts.cidr.layout().size();
      case PORTS -> layouts.port.layout().size();
      case PORT_CLASSES -> layouts.portClasses.size();
      case LIMITS -> layouts.limit.layout().size();
      case STRICT_PORTS -> layouts.strict.layout().size();
    };
  }

  private record Closing<T extends AutoCloseable>(Optional<T> value) implements AutoCloseable {
    @Override
    public void close() {
      value.ifPresent(
          closeable -> {
            try {
              closeable.close();
            } catch (RuntimeException e) {
              throw e;
            } catch (Exception e) {
              throw new IllegalStateException(e);
            }
          });
    }
  }

  BpfMap map(String name) {
    return Optional.ofNullable(maps.get(name))
        .orElseThrow(
            () ->
                new NodeException(
                    "map " + name + " is not pinned: run weir apply, or weir down and weir apply"));
  }

  Optional<BpfMap> inner(Table table, int slot) {
    BpfMap outer = map(table.map());
    ByteBuffer key = outer.newKey().putInt(0, slot);
    ByteBuffer id = outer.newValue();
    return outer.lookup(key, id) ? Optional.of(BpfMap.byId(id.getInt(0))) : Optional.empty();
  }

  /** The number of the generation in a slot; empty when it holds none. */
  OptionalLong generation(int slot) {
    try (Closing<BpfMap> inner = new Closing<>(inner(Table.GENERATIONS, slot))) {
      if (inner.value().isEmpty()) {
        return OptionalLong.empty();
      }
      BpfMap map = inner.value().get();
      ByteBuffer value = map.newValue();
      map.lookup(map.newKey(), value);
      long number = layouts.generation.number().get(value, 0);
      return number == 0 ? OptionalLong.empty() : OptionalLong.of(number);
    }
  }

  /**
   * Sees to it that both slots know by which addresses pods reach the node. They are no policy, so
   * no new generation is made for them; the entry is written in place, all else in it as it was,
   * and of an IPv4 address only the last word differs, which is read whole.
   */
  void tellAddresses(OwnNamespace own) {
    for (int slot = 0; slot <= 1; slot++) {
      try (Closing<BpfMap> inner = new Closing<>(inner(Table.GENERATIONS, slot))) {
        if (inner.value().isPresent()) {
          BpfMap map = inner.value().get();
          ByteBuffer value = map.newValue();
          map.lookup(map.newKey(), value);
          ByteBuffer wanted = map.newValue().put(0, value, 0, value.capacity());
          layouts.generation.node4().put(wanted, 0, own.fourBytes());
          layouts.generation.node6().put(wanted, 0, own.sixBytes());
          if (!wanted.equals(value)) {
            map.update(map.newKey(), wanted);
          }
        }
      }
    }
  }

  /** Which slot is in force, as the word says it. */
  Slot slot() {
    BpfMap current = map(CURRENT);
    ByteBuffer value = current.newValue();
    current.lookup(current.newKey(), value);
    return Slot.of(value.getLong(0));
  }

  /** Stores which slot is in force. */
  void store(Slot slot) {
    try (BpfMap.Word word = map(CURRENT).word()) {
      word.set(slot.word());
    }
  }

  /**
   * Writes a generation into a slot that is not in force and that nobody reads any more ({@link
   * #barrier}), and compares what the kernel then holds.
   *
   * @throws NodeException when it differs
   */
  void write(int slot, Generation generation) {
    write(slot, generation, Set.of());
  }

  /**
   * The same where some tables are those of the generation in the other slot: nothing is ever
   * written into the tables of a generation once it was in force, so both slots may have the same.
   *
   * @param same which tables
   */
  void write(int slot, Generation generation, Set<Table> same) {
    fill(slot, generation, same).close();
  }

  /**
   * The same without waiting for the end of the last calls: every program that reads the slot finds
   * the generation there, once this has returned.
   *
   * @return waits for the end of the calls when it is closed
   */
  Puts fill(int slot, Generation generation, Set<Table> same) {
    Map<Table, BpfMap> inner = new EnumMap<>(Table.class);
    Set<Table> there = EnumSet.noneOf(Table.class);
    try {
      for (Table table : Table.values()) {
        Optional<BpfMap> shared = same.contains(table) ? inner(table, slot ^ 1) : Optional.empty();
        shared.ifPresent(map -> inner.put(table, map));
        // An array is read in one call, so what somebody has changed in it is not taken over.
        if (shared.isEmpty()
            || (table.type() == BpfMap.Type.ARRAY
                && differing(table, shared.get(), contents(table, generation)) != 0)) {
          shared.ifPresent(BpfMap::close);
          inner.put(table, fill(table, slot, generation));
          continue;
        }
        if (isInner(table, slot, shared.get())) {
          there.add(table);
        }
      }
      there.forEach(table -> Optional.ofNullable(inner.remove(table)).ifPresent(BpfMap::close));
    } catch (RuntimeException e) {
      inner.values().forEach(BpfMap::close);
      throw e;
    }
    Puts puts = new Puts(inner, slot);
    try {
      puts.begin();
      return puts;
    } catch (RuntimeException e) {
      puts.abandon();
      throw e;
    }
  }

  private boolean isInner(Table table, int slot, BpfMap map) {
    BpfMap outer = map(table.map());
    ByteBuffer id = outer.newValue();
    return outer.lookup(outer.newKey().putInt(0, slot), id) && id.getInt(0) == map.id();
  }

  /**
   * Filled maps on the way into their slot. The kernel exchanges the pointer to the map at once and
   * then lets the caller wait for a grace period, in which the last program ends that may still use
   * the map before. Nobody here needs that wait, since nobody reads the slot: so each call has a
   * thread of its own, and as soon as the kernel names the new map, it is in place.
   */
  final class Puts implements AutoCloseable {
    private static final Duration LOOK = Duration.ofNanos(20_000);

    private final Map<Table, BpfMap> inner;
    private final int slot;
    private final ExecutorService threads =
        Executors.newThreadPerTaskExecutor(Thread.ofPlatform().name("weir-put-", 0).factory());
    private final Map<Table, Future<?>> calls = new EnumMap<>(Table.class);

    private Puts(Map<Table, BpfMap> inner, int slot) {
      this.inner = inner;
      this.slot = slot;
    }

    /** The table that says which generation it is comes last. */
    private void begin() {
      Map<Table, BpfMap> others = new EnumMap<>(inner);
      others.remove(Table.GENERATIONS);
      others.forEach(this::put);
      others.forEach(this::await);
      BpfMap generation = Optional.ofNullable(inner.get(Table.GENERATIONS)).orElseThrow();
      put(Table.GENERATIONS, generation);
      await(Table.GENERATIONS, generation);
    }

    private void put(Table table, BpfMap map) {
      calls.put(table, threads.submit(() -> map(table.map()).updateInner(slot, map)));
    }

    private void await(Table table, BpfMap map) {
      while (!isInner(table, slot, map)) {
        Optional.ofNullable(calls.get(table)).ifPresent(Puts::failed);
        LockSupport.parkNanos(LOOK.toNanos());
      }
    }

    private static void failed(Future<?> put) {
      if (put.state() == Future.State.FAILED) {
        Throwable failure = put.exceptionNow();
        throw failure instanceof BpfException known
            ? known
            : new NodeException("a table could not be put in place: " + failure, failure);
      }
    }

    private void abandon() {
      threads.close();
      inner.values().forEach(BpfMap::close);
    }

    /** Waits for the end of the calls. */
    @Override
    public void close() {
      abandon();
      calls.values().forEach(Puts::failed);
    }
  }

  /**
   * Waits until no program reads the slot any more. One that began before the slot went out of
   * force may still do so; every write to an array of maps waits for it, so the slot's own map is
   * put where it is already.
   */
  void barrier(int slot) {
    try (Closing<BpfMap> inner = new Closing<>(inner(Table.GENERATIONS, slot))) {
      inner.value().ifPresent(map -> map(Table.GENERATIONS.map()).updateInner(slot, map));
    }
  }

  /** An inner map with the contents of a table, compared with what was to be written. */
  static BpfMap fill(Table table, int slot, Generation generation) {
    Generation.Contents contents = contents(table, generation);
    BpfMap inner =
        BpfMap.create(
            table.type(),
            table.map() + "_" + slot,
            contents.keySize(),
            contents.valueSize(),
            contents.capacity(),
            table.flags());
    try {
      inner.updateAll(contents.keys(), contents.values(), contents.count());
      compare(table, inner, contents);
      return inner;
    } catch (RuntimeException e) {
      inner.close();
      throw e;
    }
  }

  private static Generation.Contents contents(Table table, Generation generation) {
    return Optional.ofNullable(generation.contents().get(table)).orElseThrow();
  }

  private static void compare(Table table, BpfMap inner, Generation.Contents contents) {
    int differing = differing(table, inner, contents);
    if (differing != 0) {
      throw new NodeException(
          "the kernel holds "
              + differing
              + " entries of table "
              + table.map()
              + " otherwise than written; nothing was put in force");
    }
  }

  /** How many entries a map holds otherwise than these, or does not hold. */
  private static int differing(Table table, BpfMap inner, Generation.Contents contents) {
    int differing = 0;
    if (table.type() == BpfMap.Type.ARRAY) {
      if (inner.valueSize() != contents.valueSize() || inner.maxEntries() != contents.count()) {
        return contents.count();
      }
      int[] seen = new int[2];
      inner.read(
          new BpfMap.Batch(),
          (keys, values, count) -> {
            int first = seen[0];
            seen[0] += count;
            seen[1] += differing(contents, first, keys, values, count);
          });
      differing = seen[1] + Math.abs(contents.count() - seen[0]);
    } else {
      ByteBuffer key = inner.newKey();
      ByteBuffer value = inner.newValue();
      for (int i = 0; i < contents.count(); i++) {
        key.put(0, contents.keys(), contents.key(i), contents.keySize());
        ByteBuffer expected = contents.values().slice(contents.value(i), contents.valueSize());
        if (!inner.lookup(key, value) || !value.slice(0, contents.valueSize()).equals(expected)) {
          differing++;
        }
      }
    }
    return differing;
  }

  /** How many entries of an array differ, which the kernel hands over in their order. */
  private static int differing(
      Generation.Contents contents, int first, ByteBuffer keys, ByteBuffer values, int count) {
    int size = contents.valueSize();
    if (first + count > contents.count()) {
      return count;
    }
    if (keys.slice(0, count * Integer.BYTES)
            .equals(contents.keys().slice(contents.key(first), count * Integer.BYTES))
        && values
            .slice(0, count * size)
            .equals(contents.values().slice(contents.value(first), count * size))) {
      return 0;
    }
    int differing = 0;
    for (int i = 0; i < count; i++) {
      boolean same =
          keys.getInt(i * Integer.BYTES) == first + i
              && values
                  .slice(i * size, size)
                  .equals(contents.values().slice(contents.value(first + i), size));
      differing += same ? 0 : 1;
    }
    return differing;
  }

  @Override
  public void close() {
    maps.values().forEach(BpfMap::close);
  }
}
