// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** How connections come in. */
@Timeout(60)
final class AcceptTest {

  private static final int BURST = 40;

  /** A busy proxy takes long for a turn of its event loop. */
  @Test
  void aBurstDoesNotWaitForATurnOfTheEventLoopEach() throws Exception {
    CountDownLatch allAreThere = new CountDownLatch(1);
    AtomicInteger turn = new AtomicInteger();
    Queue<Integer> turns = new ConcurrentLinkedQueue<>();
    List<Client> clients = new ArrayList<>();
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      mesh.accepted =
          channel -> {
            try {
              assertThat(allAreThere.await(20, TimeUnit.SECONDS)).isTrue();
            } catch (InterruptedException e) {
              throw new IllegalStateException(e);
            }
            turns.add(turn.get());
            // What is executed comes after what has come in by then.
            channel.eventLoop().execute(turn::incrementAndGet);
          };
      for (int i = 0; i < BURST; i++) {
        clients.add(mesh.client());
      }
      allAreThere.countDown();
      for (Client client : clients) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(turns).hasSize(BURST);
      assertThat(turns.stream().distinct().count()).isLessThan(5);
    } finally {
      for (Client client : clients) {
        client.close();
      }
    }
  }
}
