// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.listen.OriginSource;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Who may ask what. */
@Timeout(30)
final class IdentityTest {

  @Test
  void aConnectionThatNobodyHandedOverIsClosed() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      mesh.origin = Optional.empty();
      closedAtOnce(mesh, "no_origin");
      assertThat(backend.accepted()).isZero();
    }
  }

  @Test
  void aSourceThatThePlanDoesNotKnowIsClosed() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, 4711));
      closedAtOnce(mesh, "unknown_source");
    }
  }

  @Test
  void aDestinationThatIsNotPlannedIsClosed() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      mesh.origin = Optional.of(new OriginSource.Handover(Address.ofV4(0x0a600006), 80, Mesh.WEB));
      closedAtOnce(mesh, "unplanned_destination");
    }
  }

  private static void closedAtOnce(Mesh mesh, String reason) throws Exception {
    try (Client client = mesh.client()) {
      assertThat(client.closed()).isTrue();
    }
    assertThat(mesh.proxy.metrics())
        .contains("weir_proxy_connections_refused_total{reason=\"" + reason + "\"} 1\n");
  }

  @Test
  void aSourceThatMayNotReachTheBackendIsForbiddenAndTheRuleNamed() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.proxy.update(
          mesh.update(
              List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
              List.of(),
              List.of(),
              List.of(Mesh.verdict(8, backend.port())),
              backend.port()));
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
      }
      mesh.origin = Optional.of(new OriginSource.Handover(Mesh.VIP, 80, Mesh.STRANGER));
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(403);
      }
      assertThat(mesh.log())
          .contains(
              "403 shop/stranger may not reach shop/cart-v1",
              "NetworkPolicy shop/cart (policy.yaml:12)");
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_requests_forbidden_total 1\n");
    }
  }

  @Test
  void aVerdictTakenBackEndsWithTheNextRequestOfALiveConnection() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(200);
        mesh.proxy.update(
            mesh.update(
                List.of(Mesh.route(Mesh.weighted(Mesh.any(), 1))),
                List.of(),
                List.of(),
                List.of(Mesh.verdict(9, backend.port())),
                backend.port()));
        assertThat(client.get("/").status()).isEqualTo(403);
      }
    }
  }
}
