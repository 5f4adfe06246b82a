// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.kernel;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Protocol;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What counters say of connections that are open. */
final class OpenConnectionsTest {

  private static final int PORT = 8080;

  @RegisterExtension final KernelTest kernel = new KernelTest();

  private Held hold(String... arguments) {
    List<String> command =
        new java.util.ArrayList<>(
            List.of(
                System.getProperty("weir.probers") + "/hold",
                "--netns",
                "/run/netns/" + kernel.netns(),
                "--cgroup",
                kernel.cgroup("client").toString()));
    command.addAll(List.of(arguments));
    return Held.start(command);
  }

  private Snapshot.Pair pair() {
    return kernel.node().telemetry().pairs().stream()
        .filter(pair -> pair.port() == PORT)
        .findFirst()
        .orElseThrow();
  }

  private void start() {
    kernel.apply(
        kernel
            .plan()
            .workload("client")
            .workload("server")
            .owns("server", Protocol.TCP, PORT)
            .isolateIngress("server")
            .allow("client", "server", Protocol.TCP, PORT)
            .build());
    kernel.serve("server", "listen", "127.0.0.1", String.valueOf(PORT), "--echo");
  }

  @Test
  void bytesRoundTripsAndDurationOfOpenConnectionsAreInTheNextReading() {
    start();
    try (Held held = hold("127.0.0.1", String.valueOf(PORT), "4")) {
      KernelTest.pause(Duration.ofMillis(200));
      Held.Status status = held.status();
      Snapshot.Pair first = pair();

      assertThat(first.opened()).isEqualTo(4);
      assertThat(first.closed()).isZero();
      assertThat(first.open()).isEqualTo(4);
      // Each round is 8 bytes there and back; up to one more of each connection is under way.
      assertThat(first.sentBytes()).isGreaterThanOrEqualTo(status.rounds() * 8);
      assertThat(first.receivedBytes()).isGreaterThanOrEqualTo(status.rounds() * 8);
      assertThat(first.roundTripSamples()).isEqualTo(4);
      assertThat(first.roundTripMicrosSum()).isPositive();
      assertThat(first.durationMicrosSum()).isGreaterThan(4 * 150_000);

      Snapshot.Pair second = pair();
      assertThat(second.sentBytes()).isGreaterThan(first.sentBytes());
      assertThat(second.roundTripSamples()).isEqualTo(8);
    }
  }

  @Test
  void nothingIsCountedTwiceHoweverOftenItIsReadAndAfterTheClose() {
    start();
    kernel.run("client", "connect", "127.0.0.1", String.valueOf(PORT), "--send", "1000");
    Snapshot.Pair alone = pair();
    assertThat(alone.closed()).isEqualTo(1);

    Held held = hold("127.0.0.1", String.valueOf(PORT), "2");
    Thread reader =
        Thread.ofPlatform()
            .start(
                () -> {
                  for (int i = 0; i < 20; i++) {
                    pair();
                  }
                });
    long before = 0;
    for (int i = 0; i < 20; i++) {
      Snapshot.Pair now = pair();
      assertThat(now.sentBytes()).isGreaterThanOrEqualTo(before);
      before = now.sentBytes();
    }
    join(reader);
    long rounds = held.stop().rounds();
    Snapshot.Pair after = eventuallyClosed(3);
    long carried = after.sentBytes() - alone.sentBytes();
    // What was sent and not yet back when it was stopped: one number of each connection.
    assertThat(carried).isBetween(rounds * 8, (rounds + 2) * 8);
    assertThat(pair().sentBytes()).isEqualTo(after.sentBytes());
    assertThat(pair().durationMicrosSum()).isEqualTo(after.durationMicrosSum());
  }

  private Snapshot.Pair eventuallyClosed(long closed) {
    long patience = System.nanoTime() + KernelTest.patiently(Duration.ofSeconds(5)).toNanos();
    Snapshot.Pair now = pair();
    while (now.closed() < closed && System.nanoTime() < patience) {
      KernelTest.pause(Duration.ofMillis(10));
      now = pair();
    }
    return now;
  }

  private static void join(Thread thread) {
    try {
      thread.join();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }
}
