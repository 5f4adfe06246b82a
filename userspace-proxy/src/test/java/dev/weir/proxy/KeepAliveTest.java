// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

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
}
