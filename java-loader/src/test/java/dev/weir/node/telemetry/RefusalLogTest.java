// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.node.kernel.Event;
import dev.weir.node.kernel.Hook;
import dev.weir.node.kernel.Reason;
import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.Protocol;
import dev.weir.policy.plan.Reserved;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

final class RefusalLogTest {

  private final AtomicLong now = new AtomicLong();
  private final RefusalLog log =
      new RefusalLog(now::get, id -> id == 3 ? Optional.of("/shop/web") : Optional.empty());
  private final Names names = KernelMetricsTest.names();

  private static Event event(int source, int port, Hook hook, Reason reason) {
    return event(source, port, hook, reason, 0);
  }

  private static Event event(int source, int port, Hook hook, Reason reason, long left) {
    return new Event(
        0,
        7,
        1,
        Address.LOOPBACK4,
        port,
        Protocol.TCP,
        42,
        source,
        17,
        1,
        hook,
        reason,
        false,
        "x",
        left);
  }

  private Optional<String> text(Event event) {
    return log.line(event, names).map(RefusalLog.Line::text);
  }

  @Test
  void aLineNamesSourceDestinationPortAndRuleWithFileAndLine() {
    assertThat(text(event(16, 5433, Hook.CONNECT, Reason.DEFAULT_DENY)))
        .contains(
            "refused shop/cart-v1 -> shop/db:5433 tcp by NetworkPolicy shop/db ingress[0]"
                + " (db.yaml:12) [x[42] to 127.0.0.1]");
  }

  @Test
  void aRefusedBindSaysSo() {
    assertThat(text(event(16, 5433, Hook.BIND, Reason.PORT_OWNED)).orElse(""))
        .startsWith("refused shop/cart-v1 bind shop/db:5433 tcp by")
        .contains("the port belongs to another workload");
  }

  @Test
  void theSameAgainIsOnlyCountedUntilItsTimeIsOver() {
    Event event = event(16, 5433, Hook.CONNECT, Reason.POLICY);
    assertThat(text(event)).isPresent();
    assertThat(text(event)).isEmpty();
    assertThat(text(event)).isEmpty();
    now.addAndGet(Duration.ofSeconds(10).toNanos());
    assertThat(text(event).orElse("")).endsWith(" and 2 more since");
  }

  @Test
  void manyKindsAtOnceAreLimitedTogether() {
    long lines = 0;
    for (int port = 1; port <= 500; port++) {
      lines += text(event(16, port, Hook.CONNECT, Reason.POLICY)).isPresent() ? 1 : 0;
    }
    assertThat(lines).isEqualTo(50);
    now.addAndGet(Duration.ofSeconds(1).toNanos());
    assertThat(text(event(16, 501, Hook.CONNECT, Reason.POLICY))).isPresent();
  }

  @Test
  void aProcessMovedIntoAWorkloadIsReportedButNotTheProxyBeingStarted() {
    assertThat(text(event(16, 0, Hook.MOVED, Reason.NONE)))
        .contains("process x[42] was moved into the cgroup of shop/cart-v1");
    now.addAndGet(Duration.ofSeconds(10).toNanos());
    assertThat(text(event(16, 0, Hook.MOVED, Reason.NONE, 3)))
        .contains(
            "process x[42] was moved from cgroup /shop/web into the cgroup of" + " shop/cart-v1");
    now.addAndGet(Duration.ofSeconds(10).toNanos());
    assertThat(text(event(16, 0, Hook.MOVED, Reason.NONE, 4)))
        .contains("process x[42] was moved from cgroup (gone) into the cgroup of shop/cart-v1");
    assertThat(text(event(Reserved.PROXY.index(), 0, Hook.MOVED, Reason.NONE))).isEmpty();
  }
}
