// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.ProxyPlan.Route;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** New plans while clients ask. */
@Timeout(180)
final class ReloadTest {

  private static final int RELOADS = 1000;

  @Test
  void noRequestFailsWhileAThousandPlansFollowEachOther() throws Exception {
    try (RawBackend v1 = new RawBackend(RawBackend.named("v1"));
        RawBackend v2 = new RawBackend(RawBackend.named("v2"));
        Mesh mesh = new Mesh(2, System::nanoTime)) {
      Route both = Mesh.route(Mesh.weighted(Mesh.any(), 50, 50));
      Route first = Mesh.route(Mesh.weighted(Mesh.any(), 1));
      mesh.serve(both, v1.port(), v2.port());
      Load load = new Load(mesh.port, 2, 2);
      try (load) {
        for (int i = 0; i < RELOADS; i++) {
          // Weights change, a backend goes and comes back, and sometimes changes its place.
          switch (i % 4) {
            case 0 -> mesh.serve(first, v1.port());
            case 1 -> mesh.serve(both, v2.port(), v1.port());
            case 2 -> mesh.serve(first, v2.port());
            default -> mesh.serve(both, v1.port(), v2.port());
          }
          long before = load.served();
          if (i % 50 == 0) {
            // However slow this machine is, there are requests between plans.
            while (load.served() < before + 20 && load.failures().isEmpty()) {
              Thread.sleep(1);
            }
          }
        }
      }
      assertThat(load.failures()).isEmpty();
      assertThat(load.served()).isGreaterThan(RELOADS / 50 * 20);
      assertThat(mesh.proxy.metrics()).contains("weir_proxy_generation " + (RELOADS + 1) + "\n");
      assertThat(mesh.proxy.metrics())
          .doesNotContain("response_code=\"5")
          .doesNotContain("response_code=\"0");
    }
  }
}
