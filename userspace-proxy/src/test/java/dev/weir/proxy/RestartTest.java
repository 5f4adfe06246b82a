// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyUpdate;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A proxy in another's place while clients ask: processes, with the options they are shipped with.
 * {@code -Dweir.restarts=N} for more of them.
 */
@Timeout(1800)
final class RestartTest {

  private static final int RESTARTS = Integer.getInteger("weir.restarts", 5);
  private static final Duration DRAIN = Duration.ofSeconds(10);

  @TempDir private Path directory;

  private static ProxyUpdate update(Mesh plans, int port, int backend) {
    Listener outside =
        new Listener(
            "shop/edge",
            "http",
            Optional.of(Address.LOOPBACK4),
            port,
            "",
            Optional.empty(),
            List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
    return plans.update(
        List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
        List.of(outside),
        List.of(),
        List.of(),
        backend);
  }

  /** What the supervisor does (docs/protocols.md, "Another proxy in its place"). */
  private ProxyProcess replace(ProxyProcess old, ProxyUpdate update) throws Exception {
    Path socket = directory.resolve("successor.sock");
    ProxyProcess next = ProxyProcess.start(socket, "--threads", "2");
    old.handOver(directory.resolve("successor-listeners.sock"));
    next.update(update);
    old.drain(DRAIN);
    Files.move(socket, directory.resolve("proxy.sock"), StandardCopyOption.REPLACE_EXISTING);
    Files.move(
        directory.resolve("successor-listeners.sock"),
        directory.resolve("listeners.sock"),
        StandardCopyOption.REPLACE_EXISTING);
    next.movedTo(directory.resolve("proxy.sock"));
    return next;
  }

  @Test
  void noNewRequestFailsWhileProxiesFollowEachOther() throws Exception {
    int port = FreePorts.next();
    List<ProxyProcess> all = new ArrayList<>();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh plans = new Mesh()) {
      ProxyUpdate update = update(plans, port, backend.port());
      all.add(ProxyProcess.start(directory.resolve("proxy.sock"), "--threads", "2"));
      all.getFirst().update(update);
      Load load = new Load(port, 2, 2);
      try (load) {
        for (int i = 0; i < RESTARTS; i++) {
          long before = load.served();
          all.add(replace(all.getLast(), update));
          assertThat(all.get(i).ended(DRAIN.plusSeconds(5))).isTrue();
          // The old one has taken what is its own along, and nothing else.
          assertThat(directory.resolve("proxy.sock")).exists();
          assertThat(all.getLast().status()).contains("\"generation\":1");
          assertThat(load.served()).isGreaterThan(before);
        }
      }
      assertThat(load.failures()).isEmpty();
      System.out.println(
          RESTARTS
              + " restarts, "
              + load.served()
              + " requests, none failed; of kept connections "
              + load.closedBetween()
              + " ended between two requests");
    } finally {
      all.forEach(ProxyProcess::close);
    }
  }

  @Test
  void aSuccessorThatDoesNotTakeTheListenersChangesNothing() throws Exception {
    int port = FreePorts.next();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh plans = new Mesh();
        ProxyProcess proxy = ProxyProcess.start(directory.resolve("proxy.sock"))) {
      proxy.update(update(plans, port, backend.port()));
      ProxyProcess.Reply reply =
          proxy.ask(6, directory.resolve("nobody.sock").toString().getBytes(UTF_8));
      assertThat(reply.type()).isEqualTo(129);
      assertThat(reply.text()).contains("not handed over", "nobody.sock");
      try (Client client = new Client(port)) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
    }
  }
}
