// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Protocol;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.jar.JarOutputStream;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;

/**
 * {@code kill -9} of a loader in a process of its own, at every named step and at random instants
 * of start, reload, upgrade and down. After each one, what programs in governed cgroups are told is
 * the old state or the new one, and the next start makes it whole. Two meshes at a time, side by
 * side, since most of it is waiting. With {@code -Dweir.kills=N} below 200, for machines that start
 * a JVM slowly, N random instants only.
 */
@Tag("kernel")
final class KillTest {

  private static final int PORT = 5432;
  private static final Pattern GENERATION = Pattern.compile("generation-(\\d+)\\.plan");
  private static final int ENOUGH = 200;
  private static final int RANDOM_INSTANTS = Integer.getInteger("weir.kills", ENOUGH);
  private static final long LONGEST_AFTER_STEP_MICROS = 3_000;

  /** Programs that are not needed here and take the verifier long. */
  private static final Set<String> WITHOUT =
      Set.of(
          "weir_connect6",
          "weir_sendmsg4",
          "weir_sendmsg6",
          "weir_bind6",
          "weir_cgroup_attach_task");

  @RegisterExtension final KernelTest one = new KernelTest();
  @RegisterExtension final KernelTest other = new KernelTest();

  /** What is killed. */
  private enum Operation {
    /** Apply where nothing is. */
    START,
    /** Apply over another generation. */
    RELOAD,
    /** Apply over generations that the same process has made. */
    CHANGE,
    /** Apply over another generation, with changed programs. */
    UPGRADE,
    /** Down. */
    DOWN
  }

  /** What governed programs can tell apart. */
  private enum State {
    /** Nobody is governed. */
    NONE,
    /** Plan "web" is in force. */
    WEB,
    /** Plan "stranger" is in force. */
    STRANGER
  }

  private static CompiledPrograms build(String name) {
    Path object = Path.of(System.getProperty("weir.probers"), "../test-objects", name + ".bpf.o");
    try {
      return CompiledPrograms.of(Files.readAllBytes(object), WITHOUT);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The process that is killed. */
  static final class Loader {
    private Loader() {}

    /**
     * Says "begin" on standard output, does one thing, says "done" and stays. In between it says
     * each step, if it is told to; at the step at which it is told to stop it does.
     *
     * <p>Arguments: pin, run and state directory, cgroup root, netns, programs, plan file or "-"
     * for down, "steps" or "silent", index of the step at which to stop or -1, and the file of a
     * plan that it puts in force twice before it begins or "-".
     */
    public static void main(String[] arguments) throws IOException {
      Places places =
          new Places(
              Path.of(arguments[0]),
              Path.of(arguments[1]),
              Path.of(arguments[2]),
              Path.of(arguments[3]),
              Optional.of(Path.of(arguments[4])));
      CompiledPrograms programs = build(arguments[5]);
      Supplier<Plan> plan = () -> plan(Path.of(arguments[6]));
      boolean says = arguments[7].equals("steps");
      int last = Integer.parseInt(arguments[8]);
      AtomicInteger passed = new AtomicInteger();
      AtomicBoolean begun = new AtomicBoolean();
      KernelNode node =
          KernelNode.open(
              places,
              RevocationWay.BEST,
              () -> programs,
              step -> {
                if (!begun.get()) {
                  return;
                }
                if (says) {
                  System.out.println(step);
                }
                if (passed.getAndIncrement() == last) {
                  KernelTest.pause(Duration.ofMinutes(1));
                }
              });
      for (int i = 0; i < 2 && !arguments[9].equals("-"); i++) {
        node.apply(plan(Path.of(arguments[9])), List.of(), Duration.ZERO);
      }
      begun.set(true);
      System.out.println("begin");
      if (arguments[6].equals("-")) {
        node.down();
      } else {
        node.apply(plan.get(), List.of(), Duration.ZERO);
      }
      System.out.println("done");
      KernelTest.pause(Duration.ofMinutes(1));
    }

    private static Plan plan(Path file) {
      try {
        return PlanCodec.decode(Files.readAllBytes(file));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
    }
  }

  /**
   * What runs a loader: a JVM that begins as fast as it can, since there are hundreds.
   *
   * @param options of the JVM
   * @param classPath of it; an AOT cache wants files, not directories
   */
  private record Machine(List<String> options, String classPath) {

    /** With the cache that was made for all of this process, or else with none. */
    static Machine here() {
      return new Machine(
          Stream.ofNullable(System.getProperty("weir.aot"))
              .map(cache -> "-XX:AOTCache=" + cache)
              .toList(),
          System.getProperty("java.class.path"));
    }

    /** The same on files instead of directories. */
    Machine packed(Path directory) throws IOException {
      List<String> entries = new ArrayList<>();
      for (String entry : classPath.split(File.pathSeparator, -1)) {
        if (!Files.isDirectory(Path.of(entry))) {
          entries.add(entry);
          continue;
        }
        Path jar = directory.resolve(entries.size() + ".jar");
        try (Stream<Path> files = Files.walk(Path.of(entry));
            JarOutputStream out = new JarOutputStream(Files.newOutputStream(jar))) {
          out.setLevel(Deflater.NO_COMPRESSION);
          for (Path file : files.filter(Files::isRegularFile).toList()) {
            out.putNextEntry(new ZipEntry(Path.of(entry).relativize(file).toString()));
            Files.copy(file, out);
          }
        }
        entries.add(jar.toString());
      }
      return new Machine(options, String.join(File.pathSeparator, entries));
    }

    Machine with(String option) {
      return new Machine(Stream.concat(options.stream(), Stream.of(option)).toList(), classPath);
    }

    List<String> command() {
      List<String> command = new ArrayList<>();
      command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
      command.addAll(options);
      command.addAll(
          List.of(
              "--enable-native-access=ALL-UNNAMED",
              "-XX:TieredStopAtLevel=1",
              "-XX:+UseSerialGC",
              "-XX:-UsePerfData",
              "-Djnr.ffi.asm.enabled=false",
              "-Dweir.probers=" + System.getProperty("weir.probers"),
              "-cp",
              classPath));
      return command;
    }
  }

  /** A mesh, and what is known of it. */
  private static final class Lane {
    private final KernelTest kernel;
    private final Random random;
    private final Map<State, Path> plans = new EnumMap<>(State.class);
    private final Map<Operation, List<String>> steps = new EnumMap<>(Operation.class);
    private final Map<Operation, Long> micros = new EnumMap<>(Operation.class);
    private final List<Path> whole = new ArrayList<>();
    private Machine machine = Machine.here();
    private State state = State.NONE;
    private String build = "few";
    private int instants;

    Lane(KernelTest kernel, long seed) throws IOException {
      this.kernel = kernel;
      this.random = new Random(seed);
      for (State state : List.of(State.WEB, State.STRANGER)) {
        Path file = Files.createTempFile("weir", ".plan");
        file.toFile().deleteOnExit();
        Files.write(file, PlanCodec.encode(plan(state)));
        plans.put(state, file);
      }
      for (String cgroup : List.of("web", "stranger", "always", "never")) {
        kernel.cgroup(cgroup);
      }
      kernel.serve("db", "listen", "127.0.0.1", Integer.toString(PORT), "--reply", "db");
    }

    private Plan plan(State state) {
      return kernel
          .plan()
          .workload("web")
          .workload("stranger")
          .workload("always")
          .workload("never")
          .workload("db")
          .owns("db", Protocol.TCP, PORT)
          .isolateIngress("db")
          .allow("always", "db", Protocol.TCP, PORT)
          .allow(state == State.WEB ? "web" : "stranger", "db", Protocol.TCP, PORT)
          .build();
    }

    /** As programs in governed cgroups meet it; fails when it is none of the three. */
    private State look(String when) {
      List<String> answers =
          List.of(
              ask("web"),
              ask("stranger"),
              ask("always"),
              ask("never"),
              kernel.run("never", "bind", "127.0.0.2", Integer.toString(PORT)).text("result"));
      String no = "ECONNREFUSED";
      if (answers.equals(List.of("db", "db", "db", "db", "ok"))) {
        return State.NONE;
      }
      if (answers.equals(List.of("db", no, "db", no, "EACCES"))) {
        return State.WEB;
      }
      if (answers.equals(List.of(no, "db", "db", no, "EACCES"))) {
        return State.STRANGER;
      }
      throw new AssertionError(when + ": neither the old state nor the new one: " + answers);
    }

    private String ask(String who) {
      return kernel.ask(who, "127.0.0.1", PORT);
    }

    private KernelNode node() {
      CompiledPrograms programs = build(build);
      return KernelNode.open(kernel.places(), RevocationWay.BEST, () -> programs, step -> {});
    }

    private void apply(State next) {
      node().apply(plan(next), List.of(), Duration.ZERO);
      state = next;
    }

    /** Makes what the operation begins with. */
    private void prepare(Operation operation) {
      if (operation == Operation.START) {
        if (state != State.NONE) {
          node().down();
          state = State.NONE;
        }
      } else if (state == State.NONE) {
        apply(State.WEB);
      }
    }

    private State target(Operation operation) {
      return switch (operation) {
        case DOWN -> State.NONE;
        case START -> State.WEB;
        case RELOAD, CHANGE, UPGRADE -> state == State.WEB ? State.STRANGER : State.WEB;
      };
    }

    private Process start(Operation operation, State target, boolean says, int stopAt)
        throws IOException {
      if (operation == Operation.UPGRADE) {
        build = build.equals("few") ? "few-next" : "few";
      }
      Places places = kernel.places();
      List<String> command = new ArrayList<>(machine.command());
      command.addAll(
          List.of(
              Loader.class.getName(),
              places.pinDir().toString(),
              places.runDir().toString(),
              places.stateDir().toString(),
              places.cgroupRoot().toString(),
              places.netns().orElseThrow().toString(),
              build,
              target == State.NONE ? "-" : known(plans, target).toString(),
              says ? "steps" : "silent",
              Integer.toString(stopAt),
              operation == Operation.CHANGE ? known(plans, state).toString() : "-"));
      return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    }

    /** Lets a loader run once to its end, and has the JVM keep what it then has of its classes. */
    Machine trained(Path directory) throws Exception {
      Machine packed = machine.packed(directory);
      Path cache = directory.resolve("loader.aot");
      machine = packed.with("-XX:AOTCacheOutput=" + cache).with("-Xlog:disable");
      Process process = start(Operation.START, State.WEB, false, -1);
      try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
        await(output, "begin");
        await(output, "done");
        process.destroy(); // ends in order, and writes the cache
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
      } finally {
        process.destroyForcibly();
      }
      node().down();
      assertThat(cache).isNotEmptyFile();
      return packed.with("-XX:AOTCache=" + cache);
    }

    void use(Machine trained) {
      machine = trained;
    }

    /** Lets each operation run to its end once, to learn its steps and how long it takes. */
    void learn() throws Exception {
      for (Operation operation : Operation.values()) {
        prepare(operation);
        State target = target(operation);
        Process process = start(operation, target, true, -1);
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
          await(output, "begin");
          long began = System.nanoTime();
          List<String> passed = new ArrayList<>();
          for (String line = output.readLine(); !"done".equals(line); line = output.readLine()) {
            assertThat(line).as("%s ends by itself", operation).isNotNull();
            passed.add(line);
          }
          micros.put(operation, (System.nanoTime() - began) / 1000);
          steps.put(operation, passed);
        } finally {
          kill(process);
        }
        assertThat(look(operation + " that was not killed")).isEqualTo(target);
        state = target;
        if (operation == Operation.UPGRADE) {
          whole.addAll(pins());
        }
      }
    }

    private static <K, V> V known(Map<K, V> of, K key) {
      return Optional.ofNullable(of.get(key)).orElseThrow();
    }

    private static void await(BufferedReader output, String expected) throws IOException {
      assertThat(output.readLine()).isEqualTo(expected);
    }

    private static void kill(Process process) throws InterruptedException {
      process.toHandle().destroyForcibly(); // SIGKILL; what it has said can still be read
      assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    }

    private List<Path> pins() throws IOException {
      Path root = kernel.places().pinDir();
      try (Stream<Path> walk = Files.walk(root)) {
        return walk.map(root::relativize).sorted().toList();
      }
    }

    /** Indexes of the first and the last of each step. */
    private List<Integer> stops(Operation operation) {
      List<String> passed = known(steps, operation);
      return passed.stream()
          .distinct()
          .flatMap(step -> Stream.of(passed.indexOf(step), passed.lastIndexOf(step)))
          .distinct()
          .toList();
    }

    void killAtSteps(Operation operation) throws Exception {
      for (int stop : stops(operation)) {
        prepare(operation);
        State target = target(operation);
        String when = operation + ", killed at " + known(steps, operation).get(stop) + " " + stop;
        Process process = start(operation, target, true, stop);
        try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
          await(output, "begin");
          for (int i = 0; i <= stop; i++) {
            assertThat(output.readLine()).as(when).isNotNull();
          }
        } finally {
          kill(process);
        }
        judge(operation, target, when);
      }
    }

    /** At any time from its beginning on, or shortly after a step. */
    void killAtRandom(Operation operation) throws Exception {
      prepare(operation);
      State target = target(operation);
      boolean afterStep = random.nextBoolean();
      int step = random.nextInt(known(steps, operation).size());
      long wait = random.nextLong(afterStep ? LONGEST_AFTER_STEP_MICROS : known(micros, operation));
      String when =
          operation
              + ", killed "
              + wait
              + " us after "
              + (afterStep ? known(steps, operation).get(step) + " " + step : "it began");
      Process process = start(operation, target, afterStep, -1);
      boolean done;
      try (BufferedReader output = process.inputReader(StandardCharsets.UTF_8)) {
        await(output, "begin");
        for (int i = 0; afterStep && i <= step; i++) {
          assertThat(output.readLine()).as(when).isNotNull();
        }
        TimeUnit.MICROSECONDS.sleep(wait);
        kill(process);
        done = output.lines().anyMatch("done"::equals);
      } finally {
        kill(process);
      }
      if (done) {
        // Too late to count: it takes less time now than when it was learned.
        micros.put(operation, Math.max(1000, known(micros, operation) * 3 / 4));
      } else {
        instants++;
      }
      judge(operation, target, when);
    }

    /** Old or new; then the next start makes it whole. */
    private void judge(Operation operation, State target, String when) throws IOException {
      State found = look(when);
      assertThat(found).as(when).isIn(state, target);
      Places places = kernel.places();
      if (operation == Operation.DOWN) {
        node().down();
        assertThat(places.pinDir()).as(when).doesNotExist();
        assertThat(places.runDir()).as(when).doesNotExist();
        state = State.NONE;
      } else {
        State next = found == State.NONE ? State.WEB : found;
        Applied applied = node().apply(plan(next), List.of(), Duration.ZERO);
        // Other tests' namespaces come and go meanwhile.
        assertThat(applied.remarks())
            .as(when)
            .allMatch(remark -> remark.startsWith("open connections of /run/netns/"));
        state = next;
        assertThat(pins()).as(when).isEqualTo(whole);
        Current current = node().current().orElseThrow();
        assertThat(current.plan()).as(when).isEqualTo(plan(next));
        // One of the two slots may have been written and never put in force.
        long before =
            DurableFile.list(places.runDir()).stream()
                .map(file -> GENERATION.matcher(String.valueOf(file.getFileName())))
                .filter(Matcher::matches)
                .mapToLong(name -> Long.parseLong(name.group(1)))
                .min()
                .orElseThrow();
        assertThat(DurableFile.list(places.runDir()))
            .as(when)
            .extracting(file -> String.valueOf(file.getFileName()))
            .containsExactlyInAnyOrder(
                "form",
                "generation-" + before + ".keys",
                "generation-" + before + ".plan",
                "generation-" + current.generation() + ".keys",
                "generation-" + current.generation() + ".plan",
                "lock",
                "numbers",
                "objects",
                "programs",
                "reserved-ports");
      }
      assertThat(Pins.in(places.pinDir()).staged().root()).as(when).doesNotExist();
      assertThat(look(when + ", and started again")).isEqualTo(state);
    }
  }

  /** Does the same in both meshes. */
  private static void inBoth(List<Lane> lanes, Work work) throws Exception {
    List<Throwable> failures = new CopyOnWriteArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (Lane lane : lanes) {
      threads.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      work.in(lane);
                    } catch (Exception | AssertionError e) {
                      failures.add(e);
                    }
                  }));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    for (Throwable failure : failures) {
      throw new AssertionError(failure.getMessage(), failure);
    }
  }

  private interface Work {
    void in(Lane lane) throws Exception;
  }

  @Test
  void killedAtAnyStepAndAnyInstantItLeavesTheOldStateOrTheNewOne(@TempDir Path directory)
      throws Exception {
    long seed = ThreadLocalRandom.current().nextLong();
    // Where JVMs begin slowly: instants only, and by one loader at a time.
    boolean slow = RANDOM_INSTANTS < ENOUGH;
    List<Lane> lanes =
        slow ? List.of(new Lane(one, seed)) : List.of(new Lane(one, seed), new Lane(other, ~seed));
    if (System.getProperty("weir.aot") == null) {
      Machine trained = lanes.getFirst().trained(directory);
      lanes.forEach(lane -> lane.use(trained));
    }
    inBoth(lanes, Lane::learn);
    ConcurrentLinkedQueue<Operation> left =
        new ConcurrentLinkedQueue<>(slow ? List.of() : List.of(Operation.values()));
    inBoth(
        lanes,
        lane -> {
          for (Operation next = left.poll(); next != null; next = left.poll()) {
            lane.killAtSteps(next);
          }
        });
    // What is done most often most often.
    List<Operation> round =
        List.of(
            Operation.START,
            Operation.CHANGE,
            Operation.RELOAD,
            Operation.CHANGE,
            Operation.RELOAD,
            Operation.UPGRADE,
            Operation.CHANGE,
            Operation.RELOAD,
            Operation.DOWN);
    inBoth(
        lanes,
        lane -> {
          for (int i = 0; lane.instants < RANDOM_INSTANTS / lanes.size(); i++) {
            lane.killAtRandom(round.get(i % round.size()));
          }
        });
    for (Lane lane : lanes) {
      lane.node().down();
      assertThat(lane.look("at the end")).isEqualTo(State.NONE);
    }
  }
}
