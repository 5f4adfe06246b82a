// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.policy.plan.Address;
import dev.weir.proxy.outbound.BindAddress;
import dev.weir.proxy.upstream.Baggage;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.Http2Headers;
import java.util.Optional;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.CharRange;
import net.jqwik.api.constraints.Chars;
import net.jqwik.api.constraints.StringLength;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a node may ask of another one by CONNECT. */
final class TunnelRequestTest {

  private static Http2Headers connect(String authority) {
    return new DefaultHttp2Headers(false).method("CONNECT").authority(authority);
  }

  private static TunnelRequest good(Http2Headers headers) {
    assertThat(TunnelRequest.read(headers)).isInstanceOf(TunnelRequest.Good.class);
    return ((TunnelRequest.Good) TunnelRequest.read(headers)).request();
  }

  private static int refused(Http2Headers headers) {
    assertThat(TunnelRequest.read(headers)).isInstanceOf(TunnelRequest.Bad.class);
    return ((TunnelRequest.Bad) TunnelRequest.read(headers)).refused().status();
  }

  private static Address address(String text) {
    return Address.parse(text).orElseThrow();
  }

  @ParameterizedTest
  @CsvSource({"10.1.2.3:80, 10.1.2.3, 80", "[2001:db8::1]:65535, 2001:db8::1, 65535"})
  void theDestinationIsAnAddressAndAPort(String authority, String address, int port) {
    assertThat(good(connect(authority)).destination())
        .isEqualTo(new BindAddress(Optional.of(address(address)), port));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ":",
        ":80",
        "10.1.2.3",
        "10.1.2.3:",
        "10.1.2.3:0",
        "10.1.2.3:65536",
        "10.1.2.3:-1",
        "10.1.2.3:8a",
        "10.1.2.3:123456",
        "10.1.2:80",
        "cart.shop:80",
        "2001:db8::1:80",
        "[10.1.2.3]:80",
        "[2001:db8::1:80",
        "[]:80",
        "user@10.1.2.3:80",
        "10.1.2.3 :80",
        "http://10.1.2.3:80"
      })
  void anythingElseIsNone(String authority) {
    assertThat(refused(connect(authority))).isEqualTo(400);
  }

  @Test
  void baggageThatCannotBeReadIsNoReasonToRefuse() {
    assertThat(good(connect("10.1.2.3:80")).baggage()).isEmpty();
    assertThat(good(connect("10.1.2.3:80").add("baggage", ",;=%")).baggage()).isEmpty();
    assertThat(
            good(connect("10.1.2.3:80")
                    .add("baggage", "k8s.namespace.name=shop,k8s.deployment.name=web"))
                .baggage())
        .contains(new Baggage("shop", "web"));
  }

  @Test
  void onlyConnectIsServed() {
    assertThat(refused(connect("10.1.2.3:80").method("GET"))).isEqualTo(404);
    assertThat(refused(new DefaultHttp2Headers(false).authority("10.1.2.3:80"))).isEqualTo(404);
  }

  @Test
  void whatMakesAnotherRequestOfItIsRefused() {
    assertThat(refused(connect("10.1.2.3:80").path("/"))).isEqualTo(400);
    assertThat(refused(connect("10.1.2.3:80").scheme("https"))).isEqualTo(400);
    assertThat(refused(connect("10.1.2.3:80").add(":protocol", "websocket"))).isEqualTo(400);
    assertThat(refused(connect("10.1.2.3:80").add(":authority", "10.1.2.4:80"))).isEqualTo(400);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "for=10.9.0.1 | 10.9.0.1",
        "for=10.9.0.1:4711;by=10.0.0.1 | 10.9.0.1",
        "by=10.0.0.1; For=\"10.9.0.1\" | 10.9.0.1",
        "for=\"[2001:db8::1]:4711\" | 2001:db8::1",
        "for=\"[2001:db8::1]\" | 2001:db8::1"
      })
  void whoseConnectionItIsMayBeSaidByAddress(String forwarded, String address) {
    assertThat(good(connect("10.1.2.3:80").add("forwarded", forwarded)).forwardedFor())
        .contains(address(address));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        "by=10.0.0.1",
        "for=unknown",
        "for=_hidden",
        "for=10.9.0.1, for=10.9.0.2",
        "for=\"10.9.0.1",
        "for=10.9.0.1.2",
        "for=[10.9.0.1]",
        "for=2001:db8::1"
      })
  void whatCannotBeReadIsNotGuessedAt(String forwarded) {
    assertThat(refused(connect("10.1.2.3:80").add("forwarded", forwarded))).isEqualTo(400);
  }

  @Test
  void whoSaysItTwiceIsNotUnderstood() {
    assertThat(
            refused(
                connect("10.1.2.3:80")
                    .add("forwarded", "for=10.9.0.1")
                    .add("forwarded", "for=10.9.0.1")))
        .isEqualTo(400);
  }

  /** Whatever comes has an answer, and what is taken for an address is written as one. */
  @Property(tries = 2_000)
  void anyTextHasAnAnswer(
      @ForAll
          @Chars({'1', '0', '.', ':', '[', ']', 'a', 'f', '"', ';', '=', ','})
          @CharRange(from = ' ', to = '~')
          @StringLength(max = 80)
          String authority,
      @ForAll
          @Chars({'1', '0', '.', ':', '[', ']', 'f', 'o', 'r', '"', ';', '=', ','})
          @StringLength(max = 60)
          String forwarded) {
    switch (TunnelRequest.read(connect(authority).add("forwarded", forwarded))) {
      case TunnelRequest.Bad(TunnelRequest.Refused bad) ->
          assertThat(bad.status()).isBetween(400, 404);
      case TunnelRequest.Good(TunnelRequest request) -> {
        BindAddress destination = request.destination();
        assertThat(Address.parse(destination.address().orElseThrow().toString()))
            .isEqualTo(destination.address());
        assertThat(destination.port()).isBetween(1, 65535);
        assertThat(authority).endsWith(":" + authority.substring(authority.lastIndexOf(':') + 1));
        assertThat(forwarded).containsIgnoringCase("for");
      }
    }
  }
}
