// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * More than there is room for: what is there is finished, what comes is turned away. How many
 * connections there is room for is with the real process, in java-loader's {@code
 * CrowdedProxyTest}.
 */
@Timeout(60)
final class OverloadTest {

  @Test
  void aRequestIsRefusedEarlyWhenMemoryIsShort() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        mesh.memoryUsed = 900;
        Client.Response refused = client.get("/");
        assertThat(refused.status()).isEqualTo(503);
        assertThat(refused.header("retry-after")).isEqualTo("1");
        mesh.memoryUsed = 800;
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      assertThat(backend.accepted()).isEqualTo(1);
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_requests_shed_total 1\n", "response_flags=\"OM\"");
    }
  }

  @Test
  void aConnectionIsRefusedWhenMemoryIsShortAndOldOnesGoOn() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client old = mesh.client()) {
        assertThat(old.get("/").status()).isEqualTo(200);
        mesh.memoryUsed = 900;
        try (Client fresh = mesh.client()) {
          assertThat(fresh.closed()).isTrue();
        }
        mesh.memoryUsed = 0;
        assertThat(old.get("/").status()).isEqualTo(200);
      }
      assertThat(mesh.proxy.metrics())
          .contains("weir_proxy_connections_refused_total{reason=\"memory\"} 1\n");
    }
  }
}
