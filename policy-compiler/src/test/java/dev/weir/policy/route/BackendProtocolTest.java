// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class BackendProtocolTest {

  @ParameterizedTest
  @ValueSource(strings = {"kubernetes.io/h2c", "h2c", "http2", "grpc", "GRPC"})
  void theseSpeakHttp2(String appProtocol) {
    assertThat(BackendProtocol.of(appProtocol)).isEqualTo(BackendProtocol.HTTP_2);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "http", "https", "grpc-web", "kubernetes.io/ws", "kubernetes.io/wss"})
  void allOthersSpeakHttp1(String appProtocol) {
    assertThat(BackendProtocol.of(appProtocol)).isEqualTo(BackendProtocol.HTTP_1);
  }
}
