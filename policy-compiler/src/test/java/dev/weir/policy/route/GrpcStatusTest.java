// SPDX-License-Identifier: Apache-2.0
package dev.weir.policy.route;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class GrpcStatusTest {

  @ParameterizedTest
  @ValueSource(
      strings = {"application/grpc", "application/grpc+proto", "APPLICATION/GRPC; charset=utf-8"})
  void aCallIsKnownByItsContentType(String type) {
    assertThat(GrpcStatus.isCall(type)).isTrue();
  }

  @ParameterizedTest
  @ValueSource(strings = {"application/grpc-web", "application/grpc-web+proto", "text/plain", ""})
  void whatGoesByAnyVersionOfHttpIsNoCall(String type) {
    assertThat(GrpcStatus.isCall(type)).isFalse();
  }

  @Test
  void aRequestWithoutContentTypeIsNoCall() {
    assertThat(GrpcStatus.isCall(null)).isFalse();
  }

  @ParameterizedTest
  @CsvSource({"0,0", "5,5", "16,16", "17,2", "-1,2", "x,2", "'',2", "007,2"})
  void whatIsNoStatusIsUnknown(String text, int status) {
    assertThat(GrpcStatus.of(text)).isEqualTo(status);
  }

  @ParameterizedTest
  @CsvSource({
    "1n,1",
    "2u,2000",
    "3m,3000000",
    "4S,4000000000",
    "5M,300000000000",
    "1H,3600000000000",
    "99999999H,9223372036854775807"
  })
  void aTimeoutIsDigitsAndAUnit(String text, long nanos) {
    assertThat(GrpcStatus.timeoutNanos(text)).hasValue(nanos);
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "S", "1", "1s", "-1S", "123456789S", "1.5S", "1 S"})
  void anythingElseIsNone(String text) {
    assertThat(GrpcStatus.timeoutNanos(text)).isEmpty();
  }

  @Test
  void aMessageIsPercentEncoded() {
    assertThat(GrpcStatus.message("100% Ä\n~")).isEqualTo("100%25 %C3%84%0A~");
  }
}
