// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.ValueMatch;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class WeightsTest {

  @Test
  void oneInAHundredGoesToTheCanaryExactly() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 99, 1)), v1.port(), v2.port());
      int canary = 0;
      for (int connection = 0; connection < 10; connection++) {
        try (Client client = mesh.client()) {
          for (int i = 0; i < 100; i++) {
            canary += client.get("/").header("x-version").equals("v2") ? 1 : 0;
          }
        }
      }
      assertThat(canary).isEqualTo(10);
    }
  }

  @Test
  void aHeaderAlwaysGetsTheSecondVersion() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh()) {
      mesh.serve(
          Mesh.route(
              Mesh.weighted(
                  List.of(Mesh.prefix("/", new ValueMatch("x-canary", "always", false))), 0, 1),
              Mesh.weighted(Mesh.any(), 1, 0)),
          v1.port(),
          v2.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 20; i++) {
          assertThat(client.get("/", "X-Canary: always\r\n").header("x-version")).isEqualTo("v2");
          assertThat(client.get("/", "X-Canary: never\r\n").header("x-version")).isEqualTo("v1");
        }
      }
    }
  }

  @Test
  void newWeightsApplyToTheNextRequestAndNoRequestFails() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 1, 0)), v1.port(), v2.port());
      AtomicInteger failed = new AtomicInteger();
      AtomicInteger served = new AtomicInteger();
      List<Thread> clients =
          IntStream.range(0, 8)
              .mapToObj(i -> Thread.ofVirtual().start(() -> load(mesh, served, failed)))
              .toList();
      for (int i = 0; i < 200; i++) {
        mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), i % 2, 1 - i % 2)), v1.port(), v2.port());
        Thread.sleep(5);
      }
      mesh.serve(Mesh.route(Mesh.weighted(Mesh.any(), 0, 1)), v1.port(), v2.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").header("x-version")).isEqualTo("v2");
      }
      for (Thread client : clients) {
        client.interrupt();
        client.join();
      }
      assertThat(failed).hasValue(0);
      assertThat(served.get()).isGreaterThan(1000);
    }
  }

  private static void load(Mesh mesh, AtomicInteger served, AtomicInteger failed) {
    try (Client client = mesh.client()) {
      while (!Thread.currentThread().isInterrupted()) {
        if (client.get("/").status() != 200) {
          failed.incrementAndGet();
        }
        served.incrementAndGet();
      }
    } catch (IOException e) {
      if (!Thread.currentThread().isInterrupted()) {
        failed.incrementAndGet();
      }
    }
  }
}
