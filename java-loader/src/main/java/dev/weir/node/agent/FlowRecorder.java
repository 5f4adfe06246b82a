// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import dev.weir.node.bpf.BpfException;
import dev.weir.node.kernel.Current;
import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.KernelNode;
import dev.weir.node.kernel.NodeException;
import dev.weir.node.telemetry.FlowLog;
import dev.weir.node.telemetry.FlowLogFile;
import dev.weir.node.telemetry.Names;
import java.time.Clock;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Writes the flow log, on a thread of its own: a disk that is slow or full holds up nothing. Safe
 * for use by several threads.
 */
final class FlowRecorder implements AutoCloseable {

  /** Trouble is told at most this often. */
  private static final Duration QUIET = Duration.ofMinutes(1);

  private record InForce(long generation, Names names) {}

  private final KernelNode node;
  private final FlowLog flows = new FlowLog(Clock.systemUTC());
  private final FlowLogFile file;
  private final Duration interval;
  private final Log log;
  private final ScheduledExecutorService executor =
      Executors.newSingleThreadScheduledExecutor(
          Thread.ofPlatform().daemon().name("weir-flows").factory());
  private volatile Optional<InForce> inForce = Optional.empty();
  private volatile long lines;
  private volatile long lost;
  private Optional<Long> told = Optional.empty();

  FlowRecorder(KernelNode node, AgentSettings.Telemetry settings, Log log) {
    this.node = node;
    this.log = log;
    interval = settings.flowInterval();
    file =
        new FlowLogFile(FlowLogFile.directory(node.places().stateDir()), settings.flowLogBytes());
  }

  /** What is recorded from now on was decided by this generation; begins with the first. */
  void follow(Current current, Names names) {
    Optional<InForce> next = Optional.of(new InForce(current.generation(), names));
    if (inForce.isEmpty()) {
      flows.begin(node.telemetry());
      inForce = next;
      var _ =
          executor.scheduleWithFixedDelay(
              this::flush, interval.toMillis(), interval.toMillis(), TimeUnit.MILLISECONDS);
    } else if (!executor.isShutdown()) {
      // There, and not here: whoever changes the policy does not wait for a disk.
      executor.execute(
          () -> {
            flush();
            inForce = next;
          });
    }
  }

  /** Takes note of an event of the kernel. */
  void event(Event event) {
    flows.event(event);
  }

  /** Ends the interval now. */
  private void flush() {
    try {
      inForce.ifPresent(
          now -> file.write(flows.lines(node.telemetry(), now.names(), now.generation())));
    } catch (NodeException | BpfException e) {
      tell("cannot read the kernel's counters: " + e.getMessage());
    } catch (RuntimeException e) {
      tell("unexpected: " + e); // or no interval would follow
    }
    lines = file.lines();
    lost = file.lost();
    file.trouble().ifPresent(trouble -> tell(trouble + "; " + lost + " lines are lost"));
  }

  private void tell(String trouble) {
    long now = System.nanoTime();
    if (told.isEmpty() || now - told.get() > QUIET.toNanos()) {
      told = Optional.of(now);
      log.error("flow log: " + trouble + ". Everything else goes on");
    }
  }

  /** Lines written. */
  long lines() {
    return lines;
  }

  /** Lines that could not be written. */
  long lost() {
    return lost;
  }

  /** Writes what there is, and no more; to be called before what it is about goes away. */
  @Override
  public void close() {
    if (executor.isShutdown()) {
      return;
    }
    executor.execute(
        () -> {
          flush();
          inForce = Optional.empty();
          file.close();
        });
    executor.shutdown();
    try {
      if (!executor.awaitTermination(2, TimeUnit.SECONDS)) {
        log.error("flow log: the disk does not answer; what is not written yet is lost");
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
