// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.Test;

final class KeepAliveTest {

  @Test
  void requestsOfOneConnectionShareOneConnectionToTheBackend() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 50; i++) {
          Client.Response response = client.get("/items/" + i);
          assertThat(response.status()).isEqualTo(200);
          assertThat(response.text()).isEqualTo("v1 GET /items/" + i + " HTTP/1.1");
        }
      }
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aBurstLeavesItsConnectionsToTheNextOne() throws Exception {
    int burst = 200;
    // Answers only when all requests of a burst are there, so each needs a connection.
    CyclicBarrier allAreThere = new CyclicBarrier(burst);
    RawBackend.Behaviour together =
        connection -> {
          while (!connection.head().isEmpty()) {
            try {
              allAreThere.await(20, TimeUnit.SECONDS);
            } catch (InterruptedException | BrokenBarrierException | TimeoutException e) {
              return;
            }
            connection.respond("", "v1");
          }
        };
    List<Client> clients = new ArrayList<>();
    try (RawBackend backend = new RawBackend(together);
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      for (int i = 0; i < burst; i++) {
        clients.add(mesh.client());
      }
      for (int round = 0; round < 3; round++) {
        for (Client client : clients) {
          client.send("GET / HTTP/1.1\r\nHost: cart\r\n\r\n");
        }
        for (Client client : clients) {
          assertThat(client.read(false).status()).isEqualTo(200);
        }
      }
      assertThat(backend.accepted()).isEqualTo(burst);
    } finally {
      for (Client client : clients) {
        client.close();
      }
    }
  }
}
