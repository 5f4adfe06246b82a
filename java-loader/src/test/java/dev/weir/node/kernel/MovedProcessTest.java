// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.telemetry.Names;
import dev.weir.node.telemetry.RefusalLog;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** Who takes on a workload's rights by being moved into its cgroup is told of, with where from. */
@Tag("kernel")
final class MovedProcessTest {

  @RegisterExtension final KernelTest kernel = new KernelTest();
  private final List<Process> processes = new ArrayList<>();
  private final LinkedBlockingQueue<Event> events = new LinkedBlockingQueue<>();

  @AfterEach
  void end() throws InterruptedException {
    for (Process process : processes) {
      process.destroyForcibly().waitFor();
    }
  }

  private KernelNode inForce(KernelNode node) {
    node.apply(
        kernel.plan().workload("web").workload("stranger").build(), List.of(), Duration.ZERO);
    return node;
  }

  private long processIn(String cgroup) throws IOException {
    Process process = new ProcessBuilder("sleep", "60").start();
    processes.add(process);
    move(process.pid(), kernel.cgroup(cgroup));
    return process.pid();
  }

  private static void move(long pid, Path cgroup) throws IOException {
    Files.writeString(cgroup.resolve("cgroup.procs"), Long.toString(pid));
  }

  private Optional<Event> told(long pid) throws InterruptedException {
    long deadline = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(2)).toNanos();
    while (System.nanoTime() < deadline) {
      Event event = events.poll(50, TimeUnit.MILLISECONDS);
      if (event != null && event.hook() == Hook.MOVED && event.pid() == pid) {
        return Optional.of(event);
      }
    }
    return Optional.empty();
  }

  private static long id(Path cgroup) {
    return Enrollment.Hierarchy.id(cgroup).orElseThrow();
  }

  @Test
  void aProcessThatIsMovedIsToldWithItsPidAndItsOldCgroup() throws Exception {
    KernelNode node = inForce(kernel.node());
    long pid = processIn("undeclared/below");
    try (KernelNode.Subscription _ = node.events(events::add)) {
      move(pid, kernel.cgroup("web"));
      Event event = told(pid).orElseThrow();
      assertThat(event.cgroup()).isEqualTo(id(kernel.cgroup("web")));
      assertThat(event.left()).isEqualTo(id(kernel.cgroup("undeclared/below")));
      Names names = new Names(node.current().orElseThrow(), node::workloadKey, node::ruleKey);
      assertThat(new RefusalLog(System::nanoTime, node::cgroupPath).line(event, names))
          .get()
          .extracting(RefusalLog.Line::text)
          .asString()
          .contains("sleep[" + pid + "]")
          .contains(" from cgroup " + kernel.root() + "/undeclared/below into")
          .endsWith("test/web");
    }
  }

  /** Older than the programs, and in a cgroup that is governed itself. */
  @Test
  void ofAProcessOlderThanTheMeshItIsToldAsWell() throws Exception {
    long pid = processIn("stranger");
    KernelNode node = inForce(kernel.node());
    try (KernelNode.Subscription _ = node.events(events::add)) {
      move(pid, kernel.cgroup("web"));
      assertThat(told(pid))
          .hasValueSatisfying(
              event -> assertThat(event.left()).isEqualTo(id(kernel.cgroup("stranger"))));
    }
  }

  @Test
  void whereItWasMovedToBeforeCounts() throws Exception {
    KernelNode node = inForce(kernel.node());
    long pid = processIn("undeclared");
    move(pid, kernel.cgroup("other"));
    try (KernelNode.Subscription _ = node.events(events::add)) {
      move(pid, kernel.cgroup("web"));
      assertThat(told(pid))
          .hasValueSatisfying(
              event -> assertThat(event.left()).isEqualTo(id(kernel.cgroup("other"))));
    }
  }
}
