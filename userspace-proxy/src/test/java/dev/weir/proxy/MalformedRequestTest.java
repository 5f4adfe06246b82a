// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** What two readers could read in two ways is refused, and its connection closed. */
@Timeout(30)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class MalformedRequestTest {

  private final RawBackend backend;
  private final Mesh mesh;

  MalformedRequestTest() throws Exception {
    backend = new RawBackend(RawBackend.named("v1"));
    mesh = new Mesh();
    mesh.serve(backend.port());
  }

  @AfterAll
  void stop() throws Exception {
    mesh.close();
    backend.close();
  }

  private static Arguments bad(String name, String request) {
    return Arguments.of(name, 400, request);
  }

  static Stream<Arguments> refused() {
    String get = "GET / HTTP/1.1\r\n";
    String host = "Host: cart\r\n";
    String post = "POST / HTTP/1.1\r\nHost: cart\r\n";
    return Stream.of(
        bad("no Host", get + "\r\n"),
        bad("empty Host", get + "Host:\r\n\r\n"),
        bad("two Hosts", get + host + host + "\r\n"),
        bad("two different Hosts", get + host + "Host: db\r\n\r\n"),
        bad("list of Hosts", get + "Host: cart, db\r\n\r\n"),
        bad("Host with user", get + "Host: a@cart\r\n\r\n"),
        bad("Host with path", get + "Host: cart/x\r\n\r\n"),
        bad("Host with port beyond 65535", get + "Host: cart:70000\r\n\r\n"),
        bad("Host with empty port", get + "Host: cart:\r\n\r\n"),
        bad("Host with word as port", get + "Host: cart:http\r\n\r\n"),
        bad("Host with open bracket", get + "Host: [::1\r\n\r\n"),
        bad("absolute target and other Host", "GET http://db/ HTTP/1.1\r\n" + host + "\r\n"),
        bad("absolute target of other scheme", "GET ftp://cart/ HTTP/1.1\r\n" + host + "\r\n"),
        bad("target without slash", "GET a HTTP/1.1\r\n" + host + "\r\n"),
        bad("asterisk with GET", "GET * HTTP/1.1\r\n" + host + "\r\n"),
        bad("fragment", "GET /#a HTTP/1.1\r\n" + host + "\r\n"),
        bad("backslash in path", "GET /a\\b HTTP/1.1\r\n" + host + "\r\n"),
        bad("encoded NUL", "GET /%00 HTTP/1.1\r\n" + host + "\r\n"),
        bad("broken percent-encoding", "GET /%g1 HTTP/1.1\r\n" + host + "\r\n"),
        bad("high bit in target", "GET /\u00e9 HTTP/1.1\r\n" + host + "\r\n"),
        bad("control in target", "GET /a\u0001b HTTP/1.1\r\n" + host + "\r\n"),
        bad("NUL in target", "GET /a\u0000b HTTP/1.1\r\n" + host + "\r\n"),
        bad("tab in request line", "GET\t/ HTTP/1.1\r\n" + host + "\r\n"),
        bad("two spaces in request line", "GET  / HTTP/1.1\r\n" + host + "\r\n"),
        bad("space at the end of the request line", "GET / HTTP/1.1 \r\n" + host + "\r\n"),
        bad("space before the method", " GET / HTTP/1.1\r\n" + host + "\r\n"),
        bad("space in target", "GET /a b HTTP/1.1\r\n" + host + "\r\n"),
        bad("carriage return in the request line", "GET /a\rb HTTP/1.1\r\n" + host + "\r\n"),
        bad("request line ends in LF", "GET / HTTP/1.1\n" + host + "\r\n"),
        bad("header line ends in LF", get + "Host: cart\n\r\n"),
        bad("HTTP/0.9", "GET /\r\n\r\n"),
        bad("HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n"),
        bad("HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n"),
        bad("HTTP/3", "GET / HTTP/3\r\n" + host + "\r\n"),
        bad("http in lower case", "GET / http/1.1\r\n" + host + "\r\n"),
        bad("nearly the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"),
        bad("folded header", get + host + "x-a: 1\r\n 2\r\n\r\n"),
        bad("header folded with a tab", get + host + "x-a: 1\r\n\t2\r\n\r\n"),
        bad("first header folded", get + " " + host + "\r\n"),
        bad("space before the colon", get + host + "x-a : 1\r\n\r\n"),
        bad("header without colon", get + host + "x-a\r\n\r\n"),
        bad("header without name", get + host + ": 1\r\n\r\n"),
        bad("space in a header name", get + host + "x a: 1\r\n\r\n"),
        bad("NUL in a header value", get + host + "x-a: 1\u00002\r\n\r\n"),
        bad("carriage return in a header value", get + host + "x-a: 1\r2\r\n\r\n"),
        bad("control in a header value", get + host + "x-a: 1\u00012\r\n\r\n"),
        bad(
            "both lengths",
            post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad(
            "both lengths, other order",
            post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        bad("two Content-Lengths", post + "Content-Length: 4\r\nContent-Length: 4\r\n\r\nbody"),
        bad("list of Content-Lengths", post + "Content-Length: 4, 4\r\n\r\nbody"),
        bad("signed Content-Length", post + "Content-Length: +4\r\n\r\nbody"),
        bad("negative Content-Length", post + "Content-Length: -4\r\n\r\nbody"),
        bad("hexadecimal Content-Length", post + "Content-Length: 0x4\r\n\r\nbody"),
        bad("empty Content-Length", post + "Content-Length:\r\n\r\nbody"),
        bad("huge Content-Length", post + "Content-Length: 99999999999999999999\r\n\r\nbody"),
        bad("identity, chunked", post + "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
        bad("gzip, chunked", post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        bad("chunked, identity", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        bad(
            "chunked twice",
            post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad("chunked, chunked", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
        bad("chunked with a parameter", post + "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
        bad("identity", post + "Transfer-Encoding: identity\r\n\r\n"),
        bad("xchunked", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        bad("empty Transfer-Encoding", post + "Transfer-Encoding:\r\n\r\n"),
        bad(
            "chunked in HTTP/1.0",
            "POST / HTTP/1.0\r\nHost: cart\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        bad("chunk size is no number", post + "Transfer-Encoding: chunked\r\n\r\nx\r\n\r\n"),
        bad(
            "chunk size with prefix",
            post + "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n"),
        bad(
            "chunk size too large",
            post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
        bad(
            "chunk without line end",
            post + "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"),
        bad(
            "chunk extension with LF",
            post + "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n"),
        Arguments.of("unknown expectation", 417, get + host + "Expect: something\r\n\r\n"),
        Arguments.of("CONNECT", 405, "CONNECT cart:80 HTTP/1.1\r\n" + host + "\r\n"),
        Arguments.of(
            "long request line", 414, "GET /" + "a".repeat(5000) + " HTTP/1.1\r\n" + host + "\r\n"),
        Arguments.of("long headers", 431, get + host + "x-a: " + "a".repeat(9000) + "\r\n\r\n"),
        Arguments.of("many headers", 431, get + host + "x: 1\r\n".repeat(101) + "\r\n"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void refused(String name, int status, String request) throws Exception {
    try (Client client = mesh.client()) {
      // A second request behind it: it must not be served, whatever the first one is taken for.
      client.send(request + "GET /second HTTP/1.1\r\nHost: cart\r\n\r\n");
      Client.Response response = client.read(false);
      assertThat(response.status()).isEqualTo(status);
      assertThat(response.header("connection")).isEqualTo("close");
      assertThat(client.closed()).isTrue();
    }
  }

  static Stream<Arguments> accepted() {
    return Stream.of(
        Arguments.of(
            "empty lines before the request", "\r\n\r\nGET / HTTP/1.1\r\nHost: cart\r\n\r\n"),
        Arguments.of("absolute target", "GET http://cart/ HTTP/1.1\r\nHost: cart\r\n\r\n"),
        Arguments.of("Host with port", "GET / HTTP/1.1\r\nHost: cart:80\r\n\r\n"),
        Arguments.of("IPv6 Host", "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
        Arguments.of("space around a value", "GET / HTTP/1.1\r\nHost:  cart \r\n\r\n"),
        Arguments.of(
            "100 headers", "GET / HTTP/1.1\r\nHost: cart\r\n" + "x: 1\r\n".repeat(99) + "\r\n"),
        Arguments.of("high bit in a value", "GET / HTTP/1.1\r\nHost: cart\r\nx-a: \u00e9\r\n\r\n"),
        Arguments.of(
            "Chunked in capitals",
            "GET / HTTP/1.1\r\nHost: cart\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"));
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource
  void accepted(String name, String request) throws Exception {
    try (Client client = mesh.client()) {
      client.send(request);
      assertThat(client.read(false).status()).isEqualTo(200);
    }
  }

  @Test
  void aHeadThatComesByteForByteIsReadTheSame() throws Exception {
    try (Client client = mesh.client()) {
      for (char c : "GET /slow HTTP/1.1\r\nHost: cart\r\n\r\n".toCharArray()) {
        client.send(String.valueOf(c));
        Thread.sleep(1);
      }
      assertThat(client.read(false).text()).isEqualTo("v1 GET /slow HTTP/1.1");
      for (char c : "GET /a HTTP/1.1\r\nHost: cart\r\nx: 1\r\n 2\r\n\r\n".toCharArray()) {
        client.send(String.valueOf(c));
        Thread.sleep(1);
      }
      assertThat(client.read(false).status()).isEqualTo(400);
    }
  }

  @Test
  void aClientThatIsGoneWhenItIsRefusedIsNothingToWarnOf() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      for (int i = 0; i < 200; i++) {
        try (Client client = mesh.client()) {
          client.send("GET /first\r\nGET /second HTTP/1.1\r\nH st: cart\r\n\r\n");
          client.socket().shutdownOutput();
          client.in().readAllBytes();
        }
      }
      assertThat(mesh.log()).doesNotContain("WARN");
    }
  }
}
