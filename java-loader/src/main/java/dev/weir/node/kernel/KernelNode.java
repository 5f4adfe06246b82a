// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import dev.weir.node.bpf.Descriptor;
import dev.weir.node.bpf.RingBuffer;
import dev.weir.node.bpf.SystemCalls;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Reserved;
import dev.weir.policy.plan.TlsKeyPair;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * One mesh on this node's kernel. Whatever is in force stays in force when this object, or the
 * process, goes away; {@link #down} alone removes it.
 *
 * <p>Changes take the lock of the run directory, so several processes may use one mesh. Safe for
 * use by several threads.
 *
 * <p>Every method that reaches the kernel throws {@link dev.weir.node.bpf.BpfException} for a
 * system call that failed and {@link NodeException} for anything else; both say what to do.
 */
public final class KernelNode implements AutoCloseable {

  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final Duration LONGEST_CONFIRMATION = Duration.ofDays(1);
  private static final int POLL_MILLIS = 200;
  private static final int READ_ATTEMPTS = 3;
  private static final int FIRST_SLOT = 0;
  private static final int REVOKED_PAIRS = 10;

  private final Places places;
  private final RevocationWay way;
  private final RunFiles files;
  private final Pins pins;
  private final ReservedPorts reservedPorts;
  private final PodReservations podPorts;
  private volatile Optional<Remembered> remembered = Optional.empty();
  private final Supplier<CompiledPrograms> compiled;
  private final Consumer<Step> steps;
  private Optional<Auditor> auditor = Optional.empty();

  private KernelNode(
      Places places, RevocationWay way, Supplier<CompiledPrograms> compiled, Consumer<Step> steps) {
    this.places = places;
    this.way = way;
    this.compiled = compiled;
    this.steps = steps;
    this.files = new RunFiles(places);
    this.pins = Pins.in(places.pinDir());
    this.reservedPorts = new ReservedPorts(files.reservedPorts(), places.netns());
    this.podPorts = new PodReservations(files, places.netns());
  }

  /** A mesh at these places, whether or not anything is in force there. Touches nothing yet. */
  public static KernelNode open(Places places) {
    return open(places, RevocationWay.BEST);
  }

  /** As {@link #open(Places)}, with a say in how open connections are ended. */
  public static KernelNode open(Places places, RevocationWay way) {
    return open(places, way, new Once(), step -> {});
  }

  /**
   * As {@link #open(Places)}, for tests.
   *
   * @param compiled which build of the programs
   * @param steps told of each step of a change when it has just been done
   */
  static KernelNode open(
      Places places, RevocationWay way, Supplier<CompiledPrograms> compiled, Consumer<Step> steps) {
    return new KernelNode(places, way, compiled, steps);
  }

  /** What this kernel or this user lacks to run a mesh at these places, one sentence each. */
  public static List<String> missing(Places places) {
    return Probe.missing(places);
  }

  /**
   * Programs that are pinned and, with this plan, attached to nothing: those that are run to walk
   * Programs that are pinned and, with this plan, attached to nothing: those that are run to walk
   * over open sockets, the one that looks at packets unless their rate is limited or workloads of
   * this node have addresses of their own, and the proxy's unless one is needed.
   */
  public static Set<String> unattached(Plan plan) {
    Set<String> names = new HashSet<>(Mesh.WALKERS);
    if (!looksAtPackets(plan)) {
      names.add(Mesh.PACKET_PROGRAM);
    }
    if (!plan.proxy().needed()) {
      names.add(Mesh.PROXY_PROGRAM);
    }
    return names;
  }

  /** Where this mesh lives. */
  public Places places() {
    return places;
  }

  /**
   * Puts a plan in force, whole or not at all. The first one also loads and attaches the programs;
   * later ones replace programs that have changed since.
   *
   * @param plan compiled policy
   * @param keyPairs certificates its listeners name
   * @param confirmWithin the generation before is in force again after this time unless {@link
   *     #confirm} is called, also when nothing of ours runs by then; zero for no such limit; at
   *     most one day
   */
  public Applied apply(Plan plan, List<TlsKeyPair> keyPairs, Duration confirmWithin) {
    long started = System.nanoTime();
    if (confirmWithin.isNegative() || confirmWithin.compareTo(LONGEST_CONFIRMATION) > 0) {
      throw new NodeException(
          "time to confirm: "
              + confirmWithin
              + " (expected: at most "
              + LONGEST_CONFIRMATION
              + ")");
    }
    if (Enrollment.Hierarchy.namespaced()) {
      throw new NodeException(
          "this process is in a cgroup namespace, where paths of cgroups are not those of the"
              + " kernel; run it in the host's (docker run --cgroupns=host)");
    }
    return locked(
        () -> {
          CompiledPrograms programs = taken();
          Enrollment enrollment = enrollment(programs.layouts());
          Optional<Mesh> pinned = Mesh.open(programs.layouts(), pins);
          Applied applied;
          if (pinned.isEmpty()) {
            applied = first(programs, enrollment, plan, keyPairs, confirmWithin, started);
          } else {
            try (Mesh mesh = pinned.get()) {
              applied = next(programs, enrollment, mesh, plan, keyPairs, confirmWithin, started);
            }
          }
          files.writeObjects(PinnedObjects.of(pins));
          return applied;
        });
  }

  /** The programs, but for those that are known not to be taken by this kernel. */
  private CompiledPrograms taken() {
    CompiledPrograms all = compiled.get();
    return files.untraced().equals(all.hash()) ? all.without(Mesh.TRACEPOINTS) : all;
  }

  /**
   * Whether this kernel takes no program that watches cgroups, so that a cgroup which is made from
   * now on is nobody's until somebody calls {@link #enrollMade}.
   */
  public boolean agentRequired() {
    return !files.untraced().isEmpty() && Files.exists(pins.map(Mesh.CURRENT));
  }

  private static String agentRequired(String why) {
    return "agent required: this kernel takes no program that watches cgroups ("
        + why
        + "), so a declared cgroup that is made from now on is governed only once a running agent"
        + " has seen it, and a process that is moved into one is not reported; keep weir up"
        + " running";
  }

  /** Read when first needed, and then kept: a mesh that is not there needs none. */
  private static final class Once implements Supplier<CompiledPrograms> {
    private Optional<CompiledPrograms> read = Optional.empty();

    @Override
    public synchronized CompiledPrograms get() {
      CompiledPrograms programs = read.orElseGet(CompiledPrograms::read);
      read = Optional.of(programs);
      return programs;
    }
  }

  private Enrollment enrollment(Layouts layouts) {
    return new Enrollment(layouts, Enrollment.Hierarchy.of(places.cgroupRoot()));
  }

  /** Loads, fills, stores and attaches; nothing is there before, and nothing if it fails. */
  private Applied first(
      CompiledPrograms programs,
      Enrollment enrollment,
      Plan plan,
      List<TlsKeyPair> keyPairs,
      Duration confirmWithin,
      long started) {
    Numbers numbers = files.numbers().orElseGet(Numbers::none);
    Plan open = Generation.open(plan.settings());
    List<Integer> workloads = numbers.workloads(plan);
    List<Integer> rules = numbers.rules(plan);
    List<Integer> openRules = numbers.rules(open);
    Map<String, Integer> declared = enrollment.declared(plan, workloads);
    OwnNamespace own = OwnNamespace.of(places.netns());
    long root = rootId();
    Pins.mount(places.pinDir());
    pins.remove(); // what a killed "down" has left
    pins.staged().remove(); // what a killed "apply" has left
    int room = Integer.highestOneBit(Math.max(1, declared.size())) * 4;
    int budget = plan.settings().mapBytes();
    Map<String, Integer> sizes = new HashMap<>(TelemetryRoom.here(budget).sizes());
    sizes.putAll(ConnectionRoom.within(budget).sizes());
    sizes.putAll(Map.of(Mesh.PATHS, room, Mesh.CGROUPS, room * 2));
    steps.accept(Step.CLEARED);
    try (Mesh.Loaded loaded = Mesh.load(programs, sizes, way)) {
      steps.accept(Step.LOADED);
      Mesh mesh = loaded.mesh();
      // The other slot holds a generation that governs nobody: what was before the first one. It is
      // in force until everything is pinned, so that attaching, which takes many calls, changes
      // nothing for anybody, and one store does.
      long number = 2;
      mesh.store(new Slot(1 - FIRST_SLOT, 0));
      mesh.write(
          1 - FIRST_SLOT,
          new Generation.Writer(
                  programs.layouts(), open, numbers.workloads(open), openRules, own, root)
              .write(number - 1));
      Generation generation =
          new Generation.Writer(programs.layouts(), plan, workloads, rules, own, root)
              .write(number);
      mesh.write(FIRST_SLOT, generation);
      steps.accept(Step.WRITTEN);
      files.writeNumbers(numbers);
      files.keepGenerations(Set.of());
      files.writeGeneration(number - 1, PlanCodec.encode(open), List.of());
      byte[] planBytes = PlanCodec.encode(plan);
      files.writeGeneration(number, planBytes, keyPairs);
      files.writeForm(programs.layouts().form());
      files.writePrograms(programs.hash());
      steps.accept(Step.FILED);
      // Only in this slot: the generation to go back to declares nobody.
      enrollment.declare(mesh.map(Mesh.PATHS), FIRST_SLOT, declared);
      loaded.attachTracing(steps);
      files.writeUntraced(loaded.untraced().isPresent() ? programs.hash() : "");
      Optional<Path> proxy = makeProxyCgroup(plan);
      enrol(mesh, enrollment);
      steps.accept(Step.ENROLLED);
      Optional<String> unreserved = reservedPorts.reserve(ReservedPorts.declared(plan));
      steps.accept(Step.RESERVED);
      podPorts.forget();
      Homes homes = Homes.of(plan, workloads);
      Revocation revocation = revocation(mesh, programs.layouts(), homes);
      final List<String> unreservedInPods = podPorts.reserve(homes.portsOf(revocation.homes()));
      loaded.attachCgroups(places.cgroupRoot(), proxy, looksAtPackets(plan), steps);
      loaded.pin(pins.staged(), steps);
      pins.staged().becomes(pins);
      steps.accept(Step.NAMED);
      // For who binds one between this look and the store there is the walk below.
      List<String> holders =
          PortHolders.wrong(plan, declared, workloads, places.netns(), revocation.homes());
      mesh.store(new Slot(FIRST_SLOT, Slot.deadline(confirmWithin, SystemCalls.bootNanos())));
      steps.accept(Step.IN_FORCE);
      Duration took = took(started);
      List<String> remarks = new ArrayList<>(waiting(enrollment, plan));
      loaded.untraced().map(KernelNode::agentRequired).ifPresent(remarks::add);
      remarks.addAll(audited(plan));
      unreserved.ifPresent(remarks::add);
      remarks.addAll(unreservedInPods);
      remarks.addAll(holders);
      Revocation.Outcome ended = revoke(revocation, 1 - FIRST_SLOT, () -> numbers, remarks);
      steps.accept(Step.REVOKED);
      if (confirmWithin.isZero()) {
        keepLastGood(planBytes, keyPairs, remarks);
      }
      steps.accept(Step.KEPT);
      remembered =
          Optional.of(
              new Remembered(
                  mesh.map(Mesh.CURRENT).id(),
                  number,
                  plan,
                  keyPairs,
                  workloads,
                  rules,
                  declared,
                  own,
                  generation.contents(),
                  number - 1,
                  Optional.of(Map.of()),
                  ended.unread()));
      return new Applied(number, true, false, confirmWithin, took, ended.revoked(), remarks);
    } catch (RuntimeException e) {
      if (!pins.exist()) {
        pins.staged().remove();
        reservedPorts.restore();
        restorePods();
      }
      throw e;
    }
  }

  /** The generation is in force by now, so a full disk is something to tell, not a failure. */
  private void keepLastGood(byte[] plan, List<TlsKeyPair> keyPairs, List<String> remarks) {
    try {
      files.writeLastGood(plan, keyPairs);
    } catch (NodeException e) {
      remarks.add("in force, but not kept for the next boot: " + e.getMessage());
    }
  }

  private long rootId() {
    return Enrollment.Hierarchy.id(places.cgroupRoot())
        .orElseThrow(
            () -> new NodeException("cgroup root " + places.cgroupRoot() + " does not exist"));
  }

  /** What ends open connections, made before the generation is in force, to lose no time then. */
  private Revocation revocation(Mesh mesh, Layouts layouts, Homes homes) {
    return Revocation.prepare(mesh, layouts, pins, places.netns(), homes);
  }

  private void restorePods() {
    podPorts.forget();
    var _ = podPorts.reserve(Map.of());
  }

  private static Homes homes(Current current) {
    return Homes.of(current.plan(), current.workloadNumbers());
  }

  /**
   * Ends the open connections that the generation in force does not allow. It is in force by now,
   * so what fails here is something to tell.
   *
   * @param before the slot that was in force
   */
  private static Revocation.Outcome revoke(
      Revocation revocation, int before, Supplier<Numbers> numbers, List<String> remarks) {
    Revocation.Outcome outcome = revocation.run(before);
    remarks.addAll(outcome.failures());
    if (!outcome.revoked().isEmpty()) {
      remarks.addAll(describe(outcome.revoked(), numbers.get()));
    }
    return outcome;
  }

  /**
   * The registry of numbers, read when it is first needed: a change of policy that names nobody new
   * needs none of it, and it may be long.
   */
  private final class Registry implements Supplier<Numbers> {
    private Optional<Numbers> numbers = Optional.empty();
    private int size;

    @Override
    public Numbers get() {
      if (numbers.isEmpty()) {
        Numbers read = requireNumbers();
        size = read.size();
        numbers = Optional.of(read);
      }
      return numbers.get();
    }

    /** If a number has been given. */
    void write() {
      numbers.filter(read -> read.size() != size).ifPresent(files::writeNumbers);
    }
  }

  /** The pairs with the most connections, one line each. */
  private static List<String> describe(List<Revoked> revoked, Numbers numbers) {
    Map<String, Long> pairs =
        revoked.stream()
            .filter(one -> !one.waited())
            .collect(
                Collectors.groupingBy(
                    one ->
                        name(one.source(), numbers)
                            + " to "
                            + name(one.destination(), numbers)
                            + ", "
                            + one.protocol()
                            + " port "
                            + one.port(),
                    Collectors.counting()));
    List<String> lines =
        new ArrayList<>(
            revoked.stream()
                .filter(Revoked::waited)
                .map(
                    one ->
                        one.protocol()
                            + " port "
                            + one.port()
                            + " of "
                            + name(one.destination(), numbers)
                            + " was taken from "
                            + name(one.source(), numbers)
                            + ", which had it before")
                .distinct()
                .limit(REVOKED_PAIRS)
                .toList());
    lines.addAll(
        pairs.entrySet().stream()
            .sorted(
                Map.Entry.<String, Long>comparingByValue()
                    .reversed()
                    .thenComparing(Map.Entry.comparingByKey()))
            .limit(REVOKED_PAIRS)
            .map(
                pair ->
                    pair.getValue()
                        + (pair.getValue() == 1 ? " open connection" : " open connections")
                        + " ended that this generation does not allow: "
                        + pair.getKey())
            .toList());
    if (pairs.size() > REVOKED_PAIRS) {
      lines.add(
          "and connections of " + (pairs.size() - REVOKED_PAIRS) + " other pairs; see the events");
    }
    return lines;
  }

  private static String name(int workload, Numbers numbers) {
    return workload < Reserved.values().length
        ? Reserved.values()[workload].name().toLowerCase(java.util.Locale.ROOT)
        : numbers.workloadKey(workload).orElse("workload " + workload);
  }

  private static Duration took(long started) {
    return Duration.ofNanos(System.nanoTime() - started);
  }

  private static List<String> waiting(Enrollment enrollment, Plan plan) {
    long waiting = enrollment.waiting(plan);
    return waiting == 0
        ? List.of()
        : List.of(
            (waiting == 1 ? "one declared cgroup does" : waiting + " declared cgroups do")
                + " not exist yet; a cgroup is enrolled when it is made");
  }

  private static List<String> audited(Plan plan) {
    return plan.settings().audit()
        ? List.of("audit mode: nothing is refused, only reported")
        : List.of();
  }

  /** The proxy's cgroup, made if a proxy is needed. */
  private Optional<Path> makeProxyCgroup(Plan plan) {
    if (!plan.proxy().needed()) {
      return Optional.empty();
    }
    Path directory = proxyCgroup(plan);
    DurableFile.makeDirectory(directory);
    return Optional.of(directory);
  }

  private Applied next(
      CompiledPrograms programs,
      Enrollment enrollment,
      Mesh mesh,
      Plan plan,
      List<TlsKeyPair> keyPairs,
      Duration confirmWithin,
      long started) {
    List<String> remarks = new ArrayList<>();
    requireRegistry();
    Registry numbers = new Registry();
    requireHeritage(programs.layouts());
    if (settle(mesh)) {
      remarks.add("the generation before was not confirmed in time and is not in force any more");
    }
    Slot before = mesh.slot();
    if (before.deadline() != 0) {
      // Its slot is the only one that can be written; its predecessor must stay to go back to.
      mesh.store(new Slot(before.other(), 0));
      before = mesh.slot();
      remarks.add("the generation before was never confirmed; it was put out of force first");
    }
    if (mesh.map(Mesh.HANDOVERS).maxEntries()
        != ConnectionRoom.within(plan.settings().mapBytes()).handovers()) {
      remarks.add(
          "spec.budget.mapBytes has changed: what was sized by it stays as it is until weir down"
              + " and weir apply");
    }
    OptionalLong current = mesh.generation(before.slot());
    OptionalLong other = mesh.generation(before.other());
    boolean differs = outdated(programs);
    Optional<Remembered> known =
        remembered.filter(made -> !differs && made.is(mesh.map(Mesh.CURRENT).id(), current));
    // If this change fails half way, what is remembered may not be so any more.
    remembered = Optional.empty();
    List<Integer> workloads =
        known.flatMap(made -> made.workloads(plan)).orElseGet(() -> numbers.get().workloads(plan));
    List<Integer> rules =
        known.flatMap(made -> made.rules(plan)).orElseGet(() -> numbers.get().rules(plan));
    Map<String, Integer> declared =
        known
            .flatMap(made -> made.declared(plan))
            .orElseGet(() -> enrollment.declared(plan, workloads));
    if (known.isEmpty()) {
      podPorts.forget();
    }
    boolean nobodyMoves =
        known.filter(made -> made.everywhere(declared, other, files.generations())).isPresent();
    long number = 1 + Math.max(current.orElse(0), other.orElse(0));
    Supplier<Generation> inForce = () -> again(programs.layouts(), mesh, numbers.get());
    Mesh.Repair repaired =
        mesh.repair(
            programs,
            pins,
            differs,
            places.cgroupRoot(),
            existing(enrollment.home(mesh.map(Mesh.PATHS), before.slot(), Reserved.PROXY.index())),
            way,
            inForce,
            steps);
    remarks.addAll(repaired.remarks());
    if (differs || repaired.untraced().isPresent()) {
      files.writeUntraced(
          repaired.untraced().isPresent() || files.untraced().equals(programs.hash())
              ? programs.hash()
              : "");
    }
    if (differs) {
      files.writeForm(programs.layouts().form());
      files.writePrograms(programs.hash());
    }
    if (agentRequired()) {
      remarks.add(
          agentRequired(repaired.untraced().orElse("as was found out when they were loaded")));
    }
    steps.accept(Step.REPAIRED);
    numbers.write();
    Homes homes = Homes.of(plan, workloads);
    // The one before may be in force again with nobody there to reserve its ports.
    Optional<Current> kept = confirmWithin.isZero() ? Optional.empty() : inForce(mesh);
    Homes either = kept.map(old -> homes.withPortsOf(homes(old))).orElse(homes);
    try (Beside beside = new Beside()) {
      // Must be there before the store, and where somebody moves before it is declared who lives
      // where: by the files of a generation others see that it was begun.
      Beside.Task<byte[]> filed =
          beside.start(
              () -> {
                byte[] bytes = PlanCodec.encode(plan);
                files.writeGeneration(number, bytes, keyPairs);
                return bytes;
              });
      Beside.Task<Revocation> ready =
          beside.start(() -> revocation(mesh, programs.layouts(), either));
      if (!nobodyMoves) {
        filed.get();
        steps.accept(Step.FILED);
      }
      if (known.filter(made -> made.unread(other)).isEmpty()) {
        mesh.barrier(before.other());
      }
      steps.accept(Step.UNREAD);
      // Before the tables, which take a while: a cgroup that is made just now, by what was declared
      // until now, has its directory when we look for it.
      if (!nobodyMoves) {
        enrollment.declare(mesh.map(Mesh.PATHS), before.other(), declared);
      }
      steps.accept(Step.DECLARED);
      OwnNamespace own = OwnNamespace.of(places.netns());
      Generation generation =
          new Generation.Writer(programs.layouts(), plan, workloads, rules, own, rootId())
              .write(
                  number,
                  known.map(made -> made.apartFromRules(plan, workloads, own)).orElse(Map.of()));
      try (Mesh.Puts _ =
          mesh.fill(
              before.other(),
              generation,
              known.map(made -> made.same(generation)).orElse(Set.of()))) {
        steps.accept(Step.WRITTEN);
        Optional<Path> proxy = makeProxyCgroup(plan);
        if (!nobodyMoves) {
          enrol(mesh, enrollment);
        }
        steps.accept(Step.ENROLLED);
        if (proxy.isPresent()) {
          mesh.repair(programs, pins, false, places.cgroupRoot(), proxy, way, inForce, steps);
        }
        BitSet reserved = ReservedPorts.declared(plan);
        kept.ifPresent(old -> reserved.or(ReservedPorts.declared(old.plan())));
        reservedPorts.reserve(reserved).ifPresent(remarks::add);
        boolean packets = looksAtPackets(plan);
        if (packets) {
          Mesh.watchPackets(pins, places.cgroupRoot(), true);
        }
        steps.accept(Step.RESERVED);
        final byte[] planBytes = filed.get();
        if (nobodyMoves) {
          steps.accept(Step.FILED);
        }
        Revocation revocation = ready.get();
        remarks.addAll(podPorts.reserve(either.portsOf(revocation.homes())));
        if (known.filter(made -> made.plan().ports().equals(plan.ports())).isEmpty()) {
          remarks.addAll(
              PortHolders.wrong(plan, declared, workloads, places.netns(), revocation.homes()));
        }
        mesh.store(new Slot(before.other(), Slot.deadline(confirmWithin, SystemCalls.bootNanos())));
        steps.accept(Step.IN_FORCE);
        final Duration took = took(started);
        final Revocation.Outcome ended = revoke(revocation, before.slot(), numbers, remarks);
        steps.accept(Step.REVOKED);
        if (confirmWithin.isZero()) {
          keepLastGood(planBytes, keyPairs, remarks);
          if (!packets) {
            Mesh.watchPackets(pins, places.cgroupRoot(), false);
          }
        }
        steps.accept(Step.KEPT);
        keepFiles(mesh);
        if (!nobodyMoves) {
          remarks.addAll(waiting(enrollment, plan));
        }
        remarks.addAll(audited(plan));
        remembered =
            Optional.of(
                new Remembered(
                    mesh.map(Mesh.CURRENT).id(),
                    number,
                    plan,
                    keyPairs,
                    workloads,
                    rules,
                    declared,
                    own,
                    generation.contents(),
                    current.orElse(0),
                    known.map(Remembered::declared),
                    ended.unread()));
        return new Applied(
            number, false, repaired.replaced(), confirmWithin, took, ended.revoked(), remarks);
      }
    }
  }

  /**
   * Whether UDP packets must be looked at: to limit them, or to say who sent one that goes to a
   * workload in another network namespace of this node.
   */
  private static boolean looksAtPackets(Plan plan) {
    return new Limits(plan).ofPackets()
        || plan.endpoints().stream().anyMatch(endpoint -> !endpoint.remote());
  }

  private static Optional<Path> existing(Optional<Path> directory) {
    return directory.filter(Files::isDirectory);
  }

  private static int enrol(Mesh mesh, Enrollment enrollment) {
    return enrollment.enrol(mesh.map(Mesh.PATHS), mesh.map(Mesh.CGROUPS));
  }

  private void keepFiles(Mesh mesh) {
    Set<Long> kept = new HashSet<>();
    mesh.generation(0).ifPresent(kept::add);
    mesh.generation(1).ifPresent(kept::add);
    files.keepGenerations(kept);
  }

  private Numbers requireNumbers() {
    return files.numbers().orElseThrow(this::registryGone);
  }

  private void requireRegistry() {
    if (!files.haveNumbers()) {
      throw registryGone();
    }
  }

  private NodeException registryGone() {
    return new NodeException(
        "the registry of numbers is gone from "
            + places.runDir()
            + " while programs are attached, so counters can no longer be told apart:"
            + " run weir down, then weir apply");
  }

  /**
   * If the time to confirm has passed: stores as final what the kernel does already.
   *
   * @return whether that was so
   */
  private static boolean settle(Mesh mesh) {
    Slot slot = mesh.slot();
    if (!slot.expired(SystemCalls.bootNanos())) {
      return false;
    }
    mesh.store(new Slot(slot.other(), 0));
    return true;
  }

  /** The generation in force, for tables of this version. */
  private Generation again(Layouts layouts, Mesh mesh, Numbers numbers) {
    Current current = inForce(mesh).orElseThrow();
    return new Generation.Writer(
            layouts,
            current.plan(),
            numbers.workloads(current.plan()),
            numbers.rules(current.plan()),
            OwnNamespace.of(places.netns()),
            rootId())
        .write(current.generation());
  }

  private boolean outdated(CompiledPrograms programs) {
    return !files.programs().equals(programs.hash())
        || !files.form().equals(programs.layouts().form());
  }

  /**
   * Whether what is pinned was made by another version, so that the next {@link #apply} replaces
   * its programs; false when nothing is pinned.
   */
  public boolean outdated() {
    return Files.exists(pins.map(Mesh.CURRENT)) && outdated(compiled.get());
  }

  /** Whether this version can take over the pinned maps. */
  private void requireHeritage(Layouts layouts) {
    String form = files.form();
    List<String> differences = layouts.differences(form);
    if (form.isEmpty() || !differences.isEmpty()) {
      throw new NodeException(
          "the pinned maps in "
              + places.pinDir()
              + " have another form than this version's ("
              + (form.isEmpty() ? "none is on record" : String.join("; ", differences))
              + "): run weir down, then weir apply, or use the version that made them");
    }
  }

  /** Whether the pinned maps are of the form that this version reads and writes. */
  private void requireForm(Layouts layouts) {
    requireHeritage(layouts);
    if (!files.form().equals(layouts.form())) {
      throw new NodeException(
          "the pinned maps in "
              + places.pinDir()
              + " were made by an earlier version: run weir apply, which takes them over");
    }
  }

  /** Runs a change with the lock of the run directory. */
  private <T> T locked(Supplier<T> change) {
    DurableFile.makePassage(places.runDir());
    Descriptor lock =
        SystemCalls.lock(files.lock(), PATIENCE)
            .orElseThrow(
                () ->
                    new NodeException(
                        "another weir process is changing this mesh (it holds "
                            + files.lock()
                            + "); see: fuser "
                            + files.lock()));
    try {
      steps.accept(Step.LOCKED);
      return change.get();
    } finally {
      lock.close();
    }
  }

  /** Runs something on what is pinned. */
  private <T> T pinned(java.util.function.BiFunction<Mesh, Layouts, T> use) {
    Layouts layouts = compiled.get().layouts();
    try (Mesh mesh =
        Mesh.open(layouts, pins)
            .orElseThrow(
                () ->
                    new NodeException(
                        "no mesh is in force here (nothing is pinned in "
                            + places.pinDir()
                            + "): run weir apply"))) {
      requireForm(layouts);
      return use.apply(mesh, layouts);
    }
  }

  /**
   * Keeps the generation in force for good.
   *
   * @throws NodeException when nothing waits for a confirmation
   */
  public void confirm() {
    locked(
        () ->
            pinned(
                (mesh, layouts) -> {
                  Slot slot = mesh.slot();
                  if (slot.deadline() == 0) {
                    throw new NodeException("nothing waits for a confirmation");
                  }
                  if (slot.expired(SystemCalls.bootNanos())) {
                    throw new NodeException(
                        "too late: the time to confirm has passed, and the generation before is in"
                            + " force again; run weir apply again");
                  }
                  mesh.store(new Slot(slot.slot(), 0));
                  // The deadline may have passed between the look and the store; the store has won.
                  inForce(mesh)
                      .ifPresent(
                          current -> {
                            files.writeLastGood(
                                PlanCodec.encode(current.plan()), current.keyPairs());
                            reservedPorts.reserve(ReservedPorts.declared(current.plan()));
                            Homes homes = homes(current);
                            podPorts.forget();
                            podPorts.reserve(
                                homes.portsOf(Homes.read(mesh.map(Mesh.HOMES), layouts)));
                          });
                  return true;
                }));
  }

  /**
   * Writes down what the kernel has already done by itself: if the time to confirm has passed, the
   * generation before is in force.
   *
   * @return whether that was so
   */
  public boolean rollBackIfExpired() {
    if (!Files.exists(pins.map(Mesh.CURRENT))
        || !pinned((mesh, layouts) -> mesh.slot().expired(SystemCalls.bootNanos()))) {
      return false;
    }
    return locked(
        () ->
            pinned(
                (mesh, layouts) -> {
                  Optional<Current> back = inForce(mesh);
                  Homes homes = back.map(KernelNode::homes).orElse(Homes.NONE);
                  Revocation revocation = revocation(mesh, layouts, homes);
                  if (!settle(mesh)) {
                    return false;
                  }
                  back.ifPresent(
                      current -> {
                        reservedPorts.reserve(ReservedPorts.declared(current.plan()));
                        podPorts.forget();
                        podPorts.reserve(homes.portsOf(revocation.homes()));
                      });
                  var _ =
                      revoke(
                          revocation,
                          1 - mesh.slot().slot(),
                          this::requireNumbers,
                          new ArrayList<>());
                  return true;
                }));
  }

  /**
   * Removes everything: links, pins, run files, the proxy's cgroup if it is empty. Does so from any
   * state, also one half written, and does nothing when nothing is there. The state directory
   * stays.
   */
  public void down() {
    if (!Files.exists(places.runDir()) && !pins.exist() && !pins.staged().exist()) {
      return;
    }
    locked(
        () -> {
          List<Path> homes = pinnedHomes();
          governNobody();
          pins.staged().remove();
          pins.unname();
          steps.accept(Step.UNNAMED);
          pins.staged().remove();
          steps.accept(Step.UNPINNED);
          homes.forEach(KernelNode::removeIfUnused);
          reservedPorts.restore();
          restorePods();
          files.removeRun();
          steps.accept(Step.FORGOTTEN);
          return true;
        });
  }

  /**
   * Puts a generation in force that governs nobody, so that taking the programs away, which takes
   * many calls, changes nothing for anybody. What is damaged, or of another version, is taken away
   * as it is.
   */
  private void governNobody() {
    try {
      Layouts layouts = compiled.get().layouts();
      Optional<Mesh> opened = Mesh.open(layouts, pins);
      if (opened.isEmpty() || !files.form().equals(layouts.form())) {
        return;
      }
      try (Mesh mesh = opened.get()) {
        Optional<Current> current = inForce(mesh);
        if (current.isEmpty() || current.get().governsNobody()) {
          return;
        }
        int other = current.get().slot() ^ 1;
        Numbers numbers = requireNumbers();
        mesh.store(new Slot(other ^ 1, 0));
        mesh.barrier(other);
        steps.accept(Step.UNREAD);
        Enrollment enrollment = enrollment(layouts);
        enrollment.declare(mesh.map(Mesh.PATHS), other, Map.of());
        steps.accept(Step.DECLARED);
        Plan open = Generation.open(current.get().plan().settings());
        long number = 1 + Math.max(current.get().generation(), mesh.generation(other).orElse(0));
        files.writeGeneration(number, PlanCodec.encode(open), List.of());
        mesh.write(
            other,
            new Generation.Writer(
                    layouts,
                    open,
                    numbers.workloads(open),
                    numbers.rules(open),
                    OwnNamespace.of(places.netns()),
                    rootId())
                .write(number));
        steps.accept(Step.WRITTEN);
        enrol(mesh, enrollment);
        steps.accept(Step.ENROLLED);
        mesh.store(new Slot(other, 0));
        steps.accept(Step.IN_FORCE);
      }
    } catch (NodeException | dev.weir.node.bpf.BpfException e) {
      return;
    }
  }

  /**
   * The cgroups that were made by us. Nothing that is damaged may keep "down" from removing the
   * rest.
   */
  private List<Path> pinnedHomes() {
    try {
      Layouts layouts = compiled.get().layouts();
      Optional<Mesh> opened = Mesh.open(layouts, pins);
      if (opened.isEmpty()) {
        return List.of();
      }
      try (Mesh mesh = opened.get()) {
        Enrollment enrollment = enrollment(layouts);
        int slot = mesh.slot().slot();
        return Stream.of(Reserved.PROXY.index(), Canary.ALLOWED, Canary.REFUSED)
            .flatMap(number -> enrollment.home(mesh.map(Mesh.PATHS), slot, number).stream())
            .toList();
      }
    } catch (NodeException | dev.weir.node.bpf.BpfException e) {
      return List.of();
    }
  }

  /** A cgroup with processes or children stays: they are not ours to end. */
  private static void removeIfUnused(Path cgroup) {
    try {
      Files.deleteIfExists(cgroup);
    } catch (IOException e) {
      return;
    }
  }

  /**
   * Gives every workload of a plan its stable number, by index, as {@link #apply} will; nothing
   * else changes. So the proxy can be told of a service before the kernel leads anybody to it.
   */
  public List<Integer> workloadNumbers(Plan plan) {
    return locked(
        () -> {
          Numbers numbers =
              Files.exists(pins.map(Mesh.CURRENT))
                  ? requireNumbers()
                  : files.numbers().orElseGet(Numbers::none);
          int before = numbers.size();
          List<Integer> given = numbers.workloads(plan);
          if (numbers.size() != before) {
            files.writeNumbers(numbers);
          }
          return given;
        });
  }

  /** What is in force; empty when nothing is. */
  public Optional<Current> current() {
    if (!Files.exists(pins.map(Mesh.CURRENT))) {
      return Optional.empty();
    }
    Layouts layouts = compiled.get().layouts();
    for (int attempt = 1; ; attempt++) {
      Optional<Mesh> opened = Mesh.open(layouts, pins);
      if (opened.isEmpty()) {
        return Optional.empty();
      }
      try (Mesh mesh = opened.get()) {
        return inForce(mesh);
      } catch (NodeException e) {
        // Whoever applies meanwhile removes the files of a generation we have just found.
        if (attempt == READ_ATTEMPTS) {
          throw e;
        }
      }
    }
  }

  private Optional<Current> inForce(Mesh mesh) {
    long now = SystemCalls.bootNanos();
    Slot slot = mesh.slot();
    int inForce = slot.inForce(now);
    OptionalLong number = mesh.generation(inForce);
    if (number.isEmpty()) {
      return Optional.empty();
    }
    Optional<Remembered> known =
        remembered.filter(made -> made.is(mesh.map(Mesh.CURRENT).id(), number));
    if (known.isPresent()) {
      Remembered made = known.get();
      return Optional.of(
          new Current(
              made.generation(),
              inForce,
              slot.left(now),
              made.plan(),
              made.keyPairs(),
              made.workloads(),
              made.rules()));
    }
    LastGood kept =
        files
            .generation(number.getAsLong())
            .orElseThrow(
                () ->
                    new NodeException(
                        "generation "
                            + number.getAsLong()
                            + " is in force, but its plan is gone from "
                            + places.runDir()
                            + ": run weir apply again"));
    Numbers numbers = requireNumbers();
    return Optional.of(
        new Current(
            number.getAsLong(),
            inForce,
            slot.left(now),
            kept.plan(),
            kept.keyPairs(),
            numbers.workloads(kept.plan()),
            numbers.rules(kept.plan())));
  }

  /** The last generation that was in force without a limit, as the state directory keeps it. */
  public Optional<LastGood> lastGood() {
    return files.lastGood();
  }

  /**
   * What outlived the boot.
   *
   * @param plan as applied
   * @param keyPairs as applied
   */
  public record LastGood(Plan plan, List<TlsKeyPair> keyPairs) {
    /** Copies the list. */
    public LastGood {
      keyPairs = List.copyOf(keyPairs);
    }
  }

  /**
   * Makes sure that every declared cgroup that exists is known to the kernel, and none that is
   * gone. The kernel does this by itself for every cgroup made after the first {@link #apply}.
   *
   * @return how many had to be added
   */
  public int enroll() {
    return locked(
        () ->
            pinned(
                (mesh, layouts) ->
                    inForce(mesh)
                        .map(
                            current -> {
                              Enrollment enrollment = enrollment(layouts);
                              enrollment.declare(
                                  mesh.map(Mesh.PATHS),
                                  current.slot(),
                                  enrollment.declared(current.plan(), current.workloadNumbers()));
                              return enrol(mesh, enrollment);
                            })
                        .orElse(0)));
  }

  /**
   * The network namespaces other than the node's own in which workloads of a plan live now, by
   * cookie, each with a path that leads to it while the process lives that it was found by.
   */
  public Map<Long, Path> namespaces(Plan plan) {
    Enrollment.Hierarchy hierarchy = Enrollment.Hierarchy.of(places.cgroupRoot());
    return Namespaces.of(
        plan.workloads().stream()
            .filter(workload -> !workload.kind().equals("Reserved"))
            .flatMap(workload -> workload.cgroups().stream())
            .flatMap(path -> PodCgroups.places(path).stream())
            .map(hierarchy::directory)
            .toList(),
        places.netns());
  }

  /**
   * The path of the cgroup with an id; empty when it is gone. For people: it looks at all cgroups.
   */
  public Optional<String> cgroupPath(long id) {
    return Enrollment.Hierarchy.of(places.cgroupRoot()).path(id);
  }

  /**
   * Tells the kernel which address is of which network namespace of this node, and which of these
   * is whose, as it is now, and by which addresses pods reach the node itself; and keeps declared
   * ports out of what it gives away by itself in pods. {@link #apply} does so too; this is for
   * whoever stays, since pods and addresses come and go.
   *
   * @return what could not be looked at or done, one sentence each
   */
  public List<String> followNamespaces() {
    Optional<Current> current = current();
    Homes homes = current.map(KernelNode::homes).orElse(Homes.NONE);
    List<String> failures = Collections.synchronizedList(new ArrayList<>());
    Map<Long, BitSet> ports =
        pinned(
            (mesh, layouts) -> {
              mesh.tellAddresses(OwnNamespace.of(places.netns()));
              return homes.portsOf(
                  new Namespaces(places.netns(), failures::add)
                      .tell(mesh.map(Mesh.ADDRESSES), mesh.map(Mesh.HOMES), homes, layouts));
            });
    if (!remembered.map(Remembered::generation).equals(current.map(Current::generation))) {
      podPorts.forget();
    }
    // Until it is confirmed, the ports of the generation before are reserved as well.
    if (current.filter(now -> now.unconfirmed().isEmpty()).isPresent() && !podPorts.made(ports)) {
      failures.addAll(
          locked(() -> Files.exists(pins.map(Mesh.CURRENT)) ? podPorts.reserve(ports) : List.of()));
    }
    return failures.stream().distinct().toList();
  }

  /**
   * Enrols declared cgroups that were made since, and forgets those that are gone, where the kernel
   * does not do so itself ({@link #agentRequired}). Cheap enough to be called several times a
   * second.
   *
   * @return how many had to be added
   */
  public int enrollMade() {
    return locked(() -> pinned((mesh, layouts) -> enrol(mesh, enrollment(layouts))));
  }

  /**
   * Ends the open connections that the generation in force does not allow. {@link #apply} and
   * {@link #rollBackIfExpired} do so by themselves; this is for whoever comes after one that was
   * killed.
   *
   * @return one sentence for each pair whose connections were ended, and each failure
   */
  public List<String> endOpenConnections() {
    return locked(
        () ->
            pinned(
                (mesh, layouts) -> {
                  List<String> remarks = new ArrayList<>();
                  var _ =
                      revoke(
                          revocation(
                              mesh,
                              layouts,
                              inForce(mesh).map(KernelNode::homes).orElse(Homes.NONE)),
                          1 - mesh.slot().inForce(SystemCalls.bootNanos()),
                          this::requireNumbers,
                          remarks);
                  return List.copyOf(remarks);
                }));
  }

  /**
   * Compares what is pinned, attached and in the maps with the plan.
   *
   * @param believed what is in force as the caller knows it ({@link #current}); empty for whatever
   *     the kernel says
   * @param repair whether to make it again what it should be
   * @throws NodeException when nothing is in force, or it cannot be told what should be
   */
  public synchronized Audit audit(Optional<Current> believed, boolean repair) {
    if (!Files.exists(places.runDir())) {
      throw new NodeException("nothing is in force: weir apply DIR");
    }
    return locked(
        () -> {
          CompiledPrograms programs = taken();
          requireForm(programs.layouts());
          Auditor ours = auditor.orElseGet(() -> new Auditor(places, pins, files, programs));
          auditor = Optional.of(ours);
          return ours.run(
              believed,
              this::inForce,
              repair,
              mesh -> {
                mesh.repair(
                    programs,
                    pins,
                    true,
                    places.cgroupRoot(),
                    Optional.empty(),
                    way,
                    () -> again(programs.layouts(), mesh, requireNumbers()),
                    steps);
                files.writePrograms(programs.hash());
              });
        });
  }

  /**
   * The kernel's counters, with what open connections have carried until now.
   *
   * @throws NodeException when nothing is in force
   */
  public Snapshot telemetry() {
    return pinned(
        (mesh, layouts) -> {
          OpenConnections.count(mesh, pins);
          Limits.forgetDrained(mesh, layouts, SystemCalls.bootNanos());
          return Counters.read(mesh, layouts);
        });
  }

  /**
   * Backends that connects of a source pass over now, because they did not answer.
   *
   * @throws NodeException when nothing is in force
   */
  public List<Ejection> ejections() {
    return pinned((mesh, layouts) -> Ejections.read(mesh, layouts, SystemCalls.bootNanos()));
  }

  /**
   * Key of a workload ({@code kind/namespace/name}, {@code Workload.key()}) by its stable number;
   * empty for a number never given.
   */
  public Optional<String> workloadKey(int number) {
    return files.numbers().flatMap(numbers -> numbers.workloadKey(number));
  }

  /** Key of a rule ({@code Rule.key()}) by its stable number; empty for a number never given. */
  public Optional<String> ruleKey(int number) {
    return files.numbers().flatMap(numbers -> numbers.ruleKey(number));
  }

  /**
   * Hands over every event of the kernel from now on, on a thread of its own, until closed. One
   * reader at a time: an event goes to one reader only.
   *
   * @throws NodeException when nothing is in force
   */
  public Subscription events(Consumer<Event> consumer) {
    return pinned(
        (mesh, layouts) -> {
          RingBuffer ring =
              new RingBuffer(
                  mesh.map(Mesh.EVENTS),
                  layouts.event.layout().size(),
                  record -> consumer.accept(Counters.event(record, layouts)));
          return new EventReader(ring);
        });
  }

  /** Ends the delivery of events when closed. */
  public interface Subscription extends AutoCloseable {
    @Override
    void close();
  }

  /**
   * Reads the ring on its own thread; an exception of the consumer goes to the thread's handler.
   */
  private static final class EventReader implements Subscription {
    private final AtomicBoolean open = new AtomicBoolean(true);
    private final Thread thread;

    EventReader(RingBuffer ring) {
      thread =
          Thread.ofPlatform()
              .daemon()
              .name("weir-events")
              .start(
                  () -> {
                    try (ring) {
                      while (open.get()) {
                        ring.poll(POLL_MILLIS);
                      }
                    }
                  });
    }

    @Override
    public void close() {
      open.set(false);
      try {
        if (!Thread.currentThread().equals(thread)) {
          thread.join();
        }
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
      }
    }
  }

  /**
   * The directory of the proxy's cgroup for a plan. It exists from the first {@link #apply} of a
   * plan that needs a proxy; a process enters it by writing its pid to {@code cgroup.procs}.
   */
  public Path proxyCgroup(Plan plan) {
    return Enrollment.Hierarchy.of(places.cgroupRoot()).directory(plan.settings().proxyCgroup());
  }

  /** Closes what this process holds open; the mesh stays in force. */
  @Override
  public void close() {}
}
