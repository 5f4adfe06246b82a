// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
// Line ends are part of what is tested.
@SuppressWarnings("StringConcatToTextBlock")
final class InterimTest {

  @Test
  void aBodyIsSentAfterTheBackendSaysContinue() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  String head = connection.head();
                  assertThat(RawBackend.Connection.value(head, "expect")).isEqualTo("100-continue");
                  connection.send("HTTP/1.1 100 Continue\r\n\r\n");
                  connection.respond(
                      "", new String(connection.in.readNBytes(4), StandardCharsets.ISO_8859_1));
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send(
            "POST / HTTP/1.1\r\nHost: cart\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
        assertThat(client.read(false).status()).isEqualTo(100);
        client.send("body");
        assertThat(client.read(false).text()).isEqualTo("body");
      }
    }
  }

  @Test
  void earlyHintsBeforeTheResponseToAHeadLeaveItsFramingAlone() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
                    connection.send(
                        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
                            + "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                  }
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        for (int i = 0; i < 3; i++) {
          client.send("HEAD / HTTP/1.1\r\nHost: cart\r\n\r\n");
          assertThat(client.read(true).status()).isEqualTo(103);
          Client.Response response = client.read(true);
          assertThat(response.status()).isEqualTo(200);
          assertThat(response.header("content-length")).isEqualTo("1000");
        }
      }
      assertThat(backend.accepted()).isEqualTo(1);
    }
  }

  @Test
  void aBackendThatSwitchesProtocolsUnaskedIsABadGateway() throws Exception {
    try (RawBackend backend =
            new RawBackend(
                connection -> {
                  connection.head();
                  connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
                  connection.in.readAllBytes();
                });
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        assertThat(client.get("/").status()).isEqualTo(502);
      }
    }
  }
}
