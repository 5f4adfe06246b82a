// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import java.util.List;
import org.junit.jupiter.api.Test;

// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class PipeliningTest {

  @Test
  void responsesComeInTheOrderOfTheRequests() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        StringBuilder requests = new StringBuilder();
        for (int i = 0; i < 200; i++) {
          requests.append("GET /").append(i).append(" HTTP/1.1\r\nHost: cart\r\n\r\n");
        }
        client.send(requests.toString());
        for (int i = 0; i < 200; i++) {
          assertThat(client.read(false).text()).isEqualTo("v1 GET /" + i + " HTTP/1.1");
        }
      }
    }
  }

  @Test
  void aRequestAfterABodyIsNotTakenForPartOfIt() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    int length =
                        Integer.parseInt("0" + RawBackend.Connection.value(head, "content-length"));
                    String body =
                        new String(connection.in.readNBytes(length), StandardCharsets.ISO_8859_1);
                    connection.respond("", head.lines().findFirst().orElse("") + " " + body);
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(
            "POST /1 HTTP/1.1\r\nHost: cart\r\nContent-Length: 5\r\n\r\nhello"
                + "GET /2 HTTP/1.1\r\nHost: cart\r\n\r\n"
                + "POST /3 HTTP/1.1\r\nHost: cart\r\nContent-Length: 3\r\n\r\nend");
        assertThat(client.read(false).text()).isEqualTo("POST /1 HTTP/1.1 hello");
        assertThat(client.read(false).text()).isEqualTo("GET /2 HTTP/1.1 ");
        assertThat(client.read(false).text()).isEqualTo("POST /3 HTTP/1.1 end");
      }
    }
  }

  @Test
  void anAnswerOfTheProxyItselfKeepsTheOrderToo() throws Exception {
    try (RawBackend backend = new RawBackend(RawBackend.named("v1"));
        Mesh mesh = new Mesh()) {
      mesh.serve(Mesh.route(Mesh.weighted(List.of(Mesh.prefix("/known")), 1)), backend.port());
      try (Client client = mesh.client()) {
        client.send(
            "GET /known HTTP/1.1\r\nHost: cart\r\n\r\n"
                + "POST /unknown HTTP/1.1\r\nHost: cart\r\nContent-Length: 3\r\n\r\nabc"
                + "GET /known/2 HTTP/1.1\r\nHost: cart\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(200);
        assertThat(client.read(false).status()).isEqualTo(404);
        assertThat(client.read(false).text()).isEqualTo("v1 GET /known/2 HTTP/1.1");
      }
    }
  }
}
