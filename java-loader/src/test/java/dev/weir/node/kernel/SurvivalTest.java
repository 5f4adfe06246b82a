// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.bpf.BpfLink;
import dev.weir.node.bpf.BpfMap;
import dev.weir.node.bpf.BpfObject;
import dev.weir.node.bpf.BpfProgram;
import dev.weir.node.bpf.Errno;
import dev.weir.policy.plan.Plan;
import dev.weir.policy.plan.PlanCodec;
import dev.weir.policy.plan.Protocol;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Loaders that are killed, and what the next one makes of it. */
@Tag("kernel")
final class SurvivalTest {

  private static final int PORT = 5432;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private Plan mayReachDb(String who) {
    return kernel
        .plan()
        .workload("web")
        .workload("stranger")
        .workload("db")
        .owns("db", Protocol.TCP, PORT)
        .isolateIngress("db")
        .allow(who, "db", Protocol.TCP, PORT)
        .build();
  }

  private void serveDb() {
    kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db");
  }

  private Map<String, Integer> linkIds() {
    Map<String, Integer> ids = new TreeMap<>();
    for (Path pin : DurableFile.list(kernel.places().pinDir().resolve("links"))) {
      try (BpfLink link = BpfLink.open(pin)) {
        ids.put(String.valueOf(pin.getFileName()), link.id());
      }
    }
    return ids;
  }

  /** Applies a plan over and over in a process of its own. */
  static final class Loader {
    private Loader() {}

    /** Arguments: pin, run and state directory, cgroup root, netns, plan file, times. */
    public static void main(String[] arguments) throws IOException {
      Places places =
          new Places(
              Path.of(arguments[0]),
              Path.of(arguments[1]),
              Path.of(arguments[2]),
              Path.of(arguments[3]),
              Optional.of(Path.of(arguments[4])));
      Plan plan = PlanCodec.decode(Files.readAllBytes(Path.of(arguments[5])));
      for (int i = 0; i < Integer.parseInt(arguments[6]); i++) {
        KernelNode.open(places).apply(plan, List.of(), Duration.ZERO);
        System.out.println("applied");
      }
      System.out.println("done");
      KernelTest.pause(Duration.ofMinutes(10));
    }
  }

  private Process startLoader(Plan plan, int times) throws IOException {
    Places places = kernel.places();
    Path file = Files.createTempFile("weir", ".plan");
    Files.write(file, PlanCodec.encode(plan));
    file.toFile().deleteOnExit();
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(
        List.of(
            "--enable-native-access=ALL-UNNAMED",
            "-XX:TieredStopAtLevel=1",
            "-cp",
            System.getProperty("java.class.path"),
            Loader.class.getName(),
            places.pinDir().toString(),
            places.runDir().toString(),
            places.stateDir().toString(),
            places.cgroupRoot().toString(),
            places.netns().orElseThrow().toString(),
            file.toString(),
            Integer.toString(times)));
    return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
  }

  private static void awaitLine(Process process, String line) throws IOException {
    String read = process.inputReader().readLine();
    while (read != null && !read.equals(line)) {
      read = process.inputReader().readLine();
    }
    assertThat(read).isEqualTo(line);
  }

  private static void kill(Process process) throws InterruptedException {
    process.destroyForcibly(); // SIGKILL
    assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
  }

  @Test
  void verdictsOutliveTheLoaderAndTheNextOneAdoptsThem() throws Exception {
    Process loader = startLoader(mayReachDb("web"), 1);
    awaitLine(loader, "done");
    kill(loader);
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    Map<String, Integer> links = linkIds();
    assertThat(links).hasSizeGreaterThan(10);

    Applied applied = kernel.apply(mayReachDb("stranger"));
    assertThat(applied.attached()).isFalse();
    assertThat(applied.upgraded()).isFalse();
    assertThat(linkIds()).isEqualTo(links);
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
  }

  /**
   * Wherever it is hit, one of the two generations is in force, whole, and the next loader goes on.
   */
  @Test
  void aLoaderKilledAnywhereLeavesOneGenerationInForce() throws Exception {
    kernel.apply(mayReachDb("stranger"));
    serveDb();
    for (int round = 0; round < 5; round++) {
      Process loader = startLoader(mayReachDb("web"), 1000);
      awaitLine(loader, "applied");
      KernelTest.pause(Duration.ofMillis(ThreadLocalRandom.current().nextInt(150)));
      kill(loader);
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
      kernel.apply(mayReachDb("stranger"));
      assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
      assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    }
  }

  @Test
  void aFirstLoaderKilledAnywhereLeavesNothingInTheWay() throws Exception {
    for (int round = 0; round < 4; round++) {
      Process loader = startLoader(mayReachDb("web"), 1);
      KernelTest.pause(Duration.ofMillis(250 + ThreadLocalRandom.current().nextInt(900)));
      kill(loader);
      kernel.apply(mayReachDb("web"));
      try (Prober db = kernel.serve("db", "listen", "127.0.0.1", "5432", "--reply", "db")) {
        assertThat(db).isNotNull();
        assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
        assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
      }
      kernel.node().down();
    }
  }

  @Test
  void aLinkThatIsGoneIsMadeAgain() {
    kernel.apply(mayReachDb("web"));
    serveDb();
    Path pin = kernel.places().pinDir().resolve("links/weir_connect4");
    try (BpfLink link = BpfLink.open(pin)) {
      link.detach();
    }
    DurableFile.remove(pin);
    // Not refused any more, but dropped where it comes in.
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT, "--timeout", "500"))
        .isEqualTo("ETIMEDOUT");
    kernel.apply(mayReachDb("web"));
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void aLinkThatWasDetachedIsMadeAgain() {
    kernel.apply(mayReachDb("web"));
    serveDb();
    try (BpfLink link = BpfLink.open(kernel.places().pinDir().resolve("links/weir_connect4"))) {
      link.detach();
    }
    // Not refused any more, but dropped where it comes in.
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT, "--timeout", "500"))
        .isEqualTo("ETIMEDOUT");
    kernel.apply(mayReachDb("web"));
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  @Test
  void programsOfAnotherVersionAreReplacedInTheirLinks() throws IOException {
    kernel.apply(mayReachDb("web"));
    Map<String, Integer> links = linkIds();
    leaveAnOlderVersion();
    assertThat(bindAsStranger()).isEqualTo("ok"); // what the older version did not forbid
    assertThat(linkIds().get("weir_bind4")).isEqualTo(links.get("weir_bind4"));

    Applied applied = kernel.apply(mayReachDb("web"));

    assertThat(applied.upgraded()).isTrue();
    assertThat(applied.attached()).isFalse();
    assertThat(bindAsStranger()).isEqualTo("EACCES");
    // The kernel cannot exchange the program of a tracing link; every other link is the same.
    links.keySet().remove("weir_cgroup_mkdir");
    assertThat(linkIds()).containsAllEntriesOf(links).containsKey("weir_cgroup_mkdir");
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.apply(mayReachDb("web")).upgraded()).isFalse();
  }

  @Test
  void mapsOfTheSameSizesButAnotherFormAreNotTouched() throws IOException {
    kernel.apply(mayReachDb("web"));
    Files.writeString(kernel.places().runDir().resolve("form"), "another\n");
    assertThatThrownBy(() -> kernel.apply(mayReachDb("web")))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("another form")
        .hasMessageContaining("weir down");
    assertThatThrownBy(() -> kernel.node().enroll()).hasMessageContaining("another form");
    serveDb();
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    kernel.node().down();
    kernel.apply(mayReachDb("web"));
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
  }

  private String bindAsStranger() {
    return kernel.run("stranger", "bind", "127.0.0.1", "5432").text("result");
  }

  /** Puts other programs into two of the links, and another hash on record. */
  private void leaveAnOlderVersion() throws IOException {
    byte[] elf =
        Files.readAllBytes(
            Path.of(System.getProperty("weir.probers"), "../test-objects/older.bpf.o"));
    Path pins = kernel.places().pinDir();
    try (BpfObject object = BpfObject.open("older.bpf.o", elf)) {
      object.load();
      for (BpfObject.Program program : object.programs().values()) {
        Path pin = pins.resolve("programs").resolve(program.name());
        Path link = pins.resolve("links").resolve(program.name());
        DurableFile.remove(pin);
        try (BpfProgram older = program.open()) {
          older.pin(pin);
          if (program.name().equals("weir_bind4")) {
            try (BpfLink attached = BpfLink.open(link)) {
              attached.update(older);
            }
          } else {
            DurableFile.remove(link);
            try (BpfLink attached = BpfLink.attach(program.name(), older, program.attachType())) {
              attached.pin(link);
            }
          }
        }
      }
    }
    Files.writeString(kernel.places().runDir().resolve("programs"), "older\n");
  }

  @Test
  void downLeavesNothing() {
    kernel.apply(mayReachDb("web"));
    Places places = kernel.places();
    List<Integer> programs = programIds();
    assertThat(programs).hasSizeGreaterThan(10);
    kernel.node().down();
    assertThat(places.pinDir()).doesNotExist();
    assertThat(places.runDir()).doesNotExist();
    assertThat(remaining(programs)).isEmpty();
    assertThat(kernel.node().current()).isEmpty();
    assertThat(kernel.node().lastGood()).isPresent();
    kernel.node().down();
  }

  /** What the mesh's links run. */
  private List<Integer> programIds() {
    List<Integer> ids = new ArrayList<>();
    for (Path pin : DurableFile.list(kernel.places().pinDir().resolve("links"))) {
      try (BpfLink link = BpfLink.open(pin)) {
        ids.add(link.programId());
      }
    }
    return ids;
  }

  /** Those that the kernel still has; it frees a program a moment after its last use. */
  private List<Integer> remaining(List<Integer> programs) {
    List<Integer> remaining = new ArrayList<>(programs);
    remaining.removeIf(kernel::keeps);
    long deadline = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(10)).toNanos();
    while (!remaining.isEmpty() && System.nanoTime() < deadline) {
      remaining.removeIf(SurvivalTest::isFreed);
      KernelTest.pause(Duration.ofMillis(5));
    }
    return remaining;
  }

  private static boolean isFreed(int id) {
    try (BpfProgram program = BpfProgram.byId(id)) {
      return program.id() != id;
    } catch (BpfException e) {
      return e.errno() == Errno.ENOENT;
    }
  }

  @Test
  void downRemovesTheProxysCgroup() {
    Plan plan = kernel.plan().workload("web").proxied("cart", "10.96.0.7", 80).build();
    kernel.apply(plan);
    Path proxy = kernel.node().proxyCgroup(plan);
    assertThat(proxy).isDirectory();
    kernel.node().down();
    assertThat(proxy).doesNotExist();
  }

  @Test
  void downGoesThroughHalfWrittenStates() throws IOException {
    kernel.apply(mayReachDb("web"));
    Places places = kernel.places();
    DurableFile.removeTree(places.pinDir().resolve("programs"));
    DurableFile.remove(places.pinDir().resolve("maps/current"));
    DurableFile.remove(places.pinDir().resolve("links/weir_connect4"));
    Files.writeString(places.runDir().resolve("numbers"), "damaged");
    Files.delete(places.runDir().resolve("generation-2.plan"));
    List<Integer> programs = programIds();
    kernel.node().down();
    assertThat(places.pinDir()).doesNotExist();
    assertThat(remaining(programs)).isEmpty();
    kernel.apply(mayReachDb("web"));
    serveDb();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  /** Down, from whatever has been made of a mesh that worked; and a start after it. */
  private void downGoesThrough(Damage damage) throws IOException {
    kernel.apply(mayReachDb("web"));
    List<Integer> programs = programIds();
    Places places = kernel.places();
    damage.to(places.pinDir());
    kernel.node().down();
    assertThat(places.pinDir()).doesNotExist();
    assertThat(places.runDir()).doesNotExist();
    assertThat(Pins.in(places.pinDir()).staged().root()).doesNotExist();
    assertThat(remaining(programs)).isEmpty();
    serveDb();
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("db");
    kernel.apply(mayReachDb("web"));
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
  }

  private interface Damage {
    void to(Path pins) throws IOException;
  }

  @Test
  void downGoesThroughMissingPins() throws IOException {
    downGoesThrough(
        pins -> {
          DurableFile.remove(pins.resolve("programs/weir_connect6"));
          DurableFile.remove(pins.resolve("links/weir_sendmsg4"));
          DurableFile.remove(pins.resolve("maps/paths"));
        });
  }

  @Test
  void downGoesThroughAMapThatIsGone() throws IOException {
    downGoesThrough(pins -> DurableFile.remove(pins.resolve("maps/generations")));
  }

  @Test
  void downGoesThroughALinkThatIsDetached() throws IOException {
    downGoesThrough(
        pins -> {
          try (BpfLink link = BpfLink.open(pins.resolve("links/weir_connect4"))) {
            link.detach();
          }
        });
  }

  @Test
  void downGoesThroughWhatIsNotOurs() throws IOException {
    downGoesThrough(
        pins -> {
          Files.createDirectories(pins.resolve("links/another/directory"));
          Files.createSymbolicLink(pins.resolve("maps/another"), Path.of("/proc/self"));
          try (BpfMap map = BpfMap.create(BpfMap.Type.HASH, "another", 4, 4, 1, 0)) {
            map.pin(pins.resolve("links/weir_another"));
            map.pin(pins.resolve("another"));
          }
        });
  }

  @Test
  void downGoesThroughHalfAnUpgrade() throws IOException {
    downGoesThrough(
        pins -> {
          try (BpfMap map = BpfMap.open(pins.resolve("maps/pairs"))) {
            map.pin(pins.resolve("maps/pairs-staged"));
          }
          try (BpfLink link = BpfLink.open(pins.resolve("links/weir_connect4"))) {
            link.pin(pins.resolve("links/weir_connect4-staged"));
          }
        });
  }

  @Test
  void downGoesThroughHalfAStartBesideAMesh() throws IOException {
    downGoesThrough(
        pins -> {
          Pins staged = Pins.in(pins).staged();
          staged.make();
          try (BpfLink link = BpfLink.open(pins.resolve("links/weir_connect4"))) {
            link.pin(staged.link("weir_connect4"));
          }
        });
  }

  @Test
  void downGoesThroughASlotThatHoldsNothing() throws IOException {
    downGoesThrough(
        pins -> {
          try (BpfMap generations = BpfMap.open(pins.resolve("maps/generations"))) {
            generations.delete(generations.newKey().putInt(0, 0));
            generations.delete(generations.newKey().putInt(0, 1));
          }
        });
  }

  @Test
  void downGoesThroughWhatIsNoDirectory() throws IOException {
    downGoesThrough(
        pins -> {
          Pins.in(pins).remove();
          try (BpfMap map = BpfMap.create(BpfMap.Type.HASH, "another", 4, 4, 1, 0)) {
            map.pin(pins);
          }
        });
  }

  @Test
  void aDamagedRegistryIsToldAndNotOverwritten() throws IOException {
    kernel.apply(mayReachDb("web"));
    Path numbers = kernel.places().runDir().resolve("numbers");
    Files.writeString(numbers, "16\tworkload:a\n16\tworkload:b\n");
    assertThatThrownBy(() -> kernel.apply(mayReachDb("web")))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("numbers:2")
        .hasMessageContaining("weir down");
    assertThat(Files.readString(numbers)).contains("workload:b");
  }

  @Test
  void mapsOfAnotherFormAreNotTouched() throws IOException {
    kernel.apply(mayReachDb("web"));
    serveDb();
    Path pairs = kernel.places().pinDir().resolve("maps/pairs");
    DurableFile.remove(pairs);
    try (BpfMap other = BpfMap.create(BpfMap.Type.HASH, "pairs", 16, 8, 16, BpfMap.NO_PREALLOC)) {
      other.pin(pairs);
    }
    assertThatThrownBy(() -> kernel.apply(mayReachDb("stranger")))
        .isInstanceOf(NodeException.class)
        .hasMessageContaining("the pinned maps pairs have another form")
        .hasMessageContaining("weir down");
    assertThat(kernel.ask("stranger", "127.0.0.1", PORT)).isEqualTo("ECONNREFUSED");
    assertThat(kernel.ask("web", "127.0.0.1", PORT)).isEqualTo("db");
  }

  @Test
  void twoChangesDoNotMeet() throws Exception {
    kernel.apply(mayReachDb("web"));
    List<Throwable> failures = new java.util.concurrent.CopyOnWriteArrayList<>();
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      threads.add(
          Thread.ofPlatform()
              .start(
                  () -> {
                    try {
                      kernel.apply(mayReachDb("web"));
                      kernel.node().telemetry();
                      kernel.node().current();
                    } catch (RuntimeException e) {
                      failures.add(e);
                    }
                  }));
    }
    for (Thread thread : threads) {
      thread.join();
    }
    assertThat(failures).isEmpty();
    assertThat(kernel.node().current().orElseThrow().generation()).isEqualTo(5);
  }

  @Test
  void numbersStayWithTheirKeys() {
    kernel.apply(mayReachDb("web"));
    KernelNode node = kernel.node();
    Current before = node.current().orElseThrow();
    kernel.apply(kernel.plan().workload("another").workload("db").build());
    Current after = node.current().orElseThrow();
    int db = before.workloadNumbers().get(before.plan().workloads().size() - 1);
    assertThat(after.workloadNumbers().getLast()).isEqualTo(db);
    assertThat(node.workloadKey(db)).contains("Workload/test/db");
    assertThat(after.workloadNumbers()).doesNotHaveDuplicates();
    int web = before.workloadNumbers().get(5);
    assertThat(after.workloadNumbers()).doesNotContain(web);
  }

  @Test
  void aBpfErrorNamesCallErrnoAndRemedy() {
    assertThatThrownBy(() -> BpfLink.open(Path.of("/sys/fs/bpf/weir-there-is-no-such-pin")))
        .isInstanceOf(BpfException.class)
        .hasMessage(
            "bpf_obj_get(/sys/fs/bpf/weir-there-is-no-such-pin): ENOENT (no such file, entry or"
                + " program)");
  }
}
