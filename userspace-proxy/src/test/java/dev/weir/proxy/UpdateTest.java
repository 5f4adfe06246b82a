// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.weir.policy.plan.Address;
import dev.weir.policy.plan.ProxyPlan.Listener;
import dev.weir.policy.plan.ProxyPlan.Tls;
import dev.weir.policy.plan.ProxyUpdate;
import dev.weir.policy.plan.TlsKeyPair;
import dev.weir.proxy.outbound.UpdateRefusedException;
import java.net.ConnectException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class UpdateTest {

  private static Listener http(int port) {
    return new Listener(
        "shop/edge",
        "http",
        Optional.of(Address.LOOPBACK4),
        port,
        "",
        Optional.empty(),
        List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))));
  }

  private static ProxyUpdate update(Mesh mesh, List<Listener> listeners, int backend) {
    return mesh.update(
        List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
        listeners,
        List.of(),
        List.of(),
        backend);
  }

  @Test
  void nothingListensBeforeTheFirstUpdate() throws Exception {
    try (Mesh mesh = new Mesh()) {
      assertThatThrownBy(mesh::client).isInstanceOf(ConnectException.class);
    }
  }

  @Test
  void aGatewayPortIsOpenedServedAndClosedAgain() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.origin = Optional.empty();
      int port = FreePorts.next();
      mesh.proxy.update(update(mesh, List.of(http(port)), backend.port()));
      try (Client client = new Client(port)) {
        assertThat(client.get("/").header("x-version")).isEqualTo("v1");
      }
      mesh.proxy.update(update(mesh, List.of(), backend.port()));
      assertThatThrownBy(() -> new Client(port)).isInstanceOf(ConnectException.class);
    }
  }

  @Test
  void anUpdateThatCannotBindIsRefusedWholeAndTheOldOneStays() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.serve(v1.port());
      int free = FreePorts.next();
      // The second listener's port is held by the first backend.
      ProxyUpdate bad = update(mesh, List.of(http(free), http(v1.port())), v2.port());
      assertThatThrownBy(() -> mesh.proxy.update(bad))
          .isInstanceOf(UpdateRefusedException.class)
          .hasMessageContaining("bind 127.0.0.1:" + v1.port())
          .hasMessageContaining("ss -ltnp");
      try (Client client = mesh.client()) {
        assertThat(client.get("/").header("x-version")).isEqualTo("v1");
      }
      assertThatThrownBy(() -> new Client(free)).isInstanceOf(ConnectException.class);
      assertThat(mesh.proxy.status()).startsWith("{\"generation\":1,");
    }
  }

  @Test
  void aKeyPairThatIsNotOneIsRefusedWithoutShowingIt() throws Exception {
    try (Mesh mesh = new Mesh()) {
      ProxyUpdate bad =
          mesh.update(
              List.of(),
              List.of(
                  new Listener(
                      "shop/edge",
                      "https",
                      Optional.of(Address.LOOPBACK4),
                      FreePorts.next(),
                      "",
                      Optional.of(new Tls(List.of("shop/tls"))),
                      List.of())),
              List.of(new TlsKeyPair("shop/tls", "chain", "secret")),
              List.of());
      assertThatThrownBy(() -> mesh.proxy.update(bad))
          .isInstanceOf(UpdateRefusedException.class)
          .hasMessageContaining("shop/tls")
          .hasMessageNotContaining("secret");
    }
  }

  @Test
  void aBackendThatThePlanDropsKeepsNoConnection() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.serve(v1.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").header("x-version")).isEqualTo("v1");
        mesh.serve(v2.port());
        assertThat(client.get("/").header("x-version")).isEqualTo("v2");
      }
      assertThat(mesh.proxy.status()).doesNotContain("127.0.0.1:" + v1.port() + "\"");
    }
  }

  @Test
  void aDrainEndsIdleConnectionsAtOnceAndBusyOnesAfterTheirResponse() throws Exception {
    CountDownLatch answer = new CountDownLatch(1);
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  try {
                    answer.await();
                  } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                  }
                  connection.respond("", "late");
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client idle = mesh.client();
          Client busy = mesh.client()) {
        busy.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        while (backend.accepted() == 0) {
          Thread.sleep(5);
        }
        mesh.proxy.drain(10_000);
        assertThat(idle.closed()).isTrue();
        assertThatThrownBy(mesh::client).isInstanceOf(ConnectException.class);
        answer.countDown();
        Client.Response response = busy.read(false);
        assertThat(response.text()).isEqualTo("late");
        assertThat(response.header("connection")).isEqualTo("close");
        assertThat(busy.closed()).isTrue();
        assertThat(mesh.proxy.drained()).succeedsWithin(Duration.ofSeconds(5));
      }
    }
  }
}
