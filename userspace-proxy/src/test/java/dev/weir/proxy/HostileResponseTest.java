// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Each case of {@code hostile/responses.txt}: what is badly written is a 502 or breaks off, and
 * nothing of it, nor of what comes behind it, is ever the answer to somebody else.
 */
@Timeout(30)
final class HostileResponseTest {

  /**
   * A case.
   *
   * @param answer status and body, if the client gets all of it
   */
  record Case(
      String name,
      String rule,
      String bytes,
      boolean head,
      boolean close,
      Optional<Answer> answer,
      boolean kept) {
    @Override
    public String toString() {
      return name;
    }
  }

  record Answer(int status, String body) {}

  static List<Case> cases() {
    return CorpusFile.read("responses.txt").stream().map(HostileResponseTest::of).toList();
  }

  private static Case of(CorpusFile.Case from) {
    StringBuilder bytes = new StringBuilder();
    boolean head = false;
    boolean close = false;
    boolean cut = false;
    boolean kept = false;
    Optional<Answer> answer = Optional.empty();
    for (CorpusFile.Line line : from.lines()) {
      switch (line.word()) {
        case ">" -> bytes.append(line.bytes());
        case "ok" -> bytes.append("HTTP/1.1 200 OK\r\n");
        case "chunked" -> bytes.append("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        case "head" -> head = true;
        case "close" -> close = true;
        case "cut" -> cut = true;
        case "kept" -> kept = true;
        case "answer" -> {
          String[] parts = line.text().split(" ", 2);
          answer =
              Optional.of(new Answer(Integer.parseInt(parts[0]), parts.length < 2 ? "" : parts[1]));
        }
        default -> throw line.unknown();
      }
    }
    assertThat(cut).as(from.name()).isEqualTo(answer.isEmpty());
    return new Case(from.name(), from.rule(), bytes.toString(), head, close, answer, kept);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void isNobodysAnswerButItsOwn(Case hostile) throws Exception {
    AtomicBoolean done = new AtomicBoolean();
    try (RawBackend backend = new RawBackend(connection -> serve(connection, hostile, done));
        Mesh mesh = new Mesh()) {
      mesh.serve(backend.port());
      try (Client client = mesh.client()) {
        client.send((hostile.head() ? "HEAD" : "GET") + " /first HTTP/1.1\r\nHost: cart\r\n\r\n");
        if (hostile.answer().isPresent()) {
          Client.Response response = client.read(hostile.head());
          while (response.status() < 200) {
            response = client.read(hostile.head());
          }
          assertThat(response.status())
              .as(hostile.rule())
              .isEqualTo(hostile.answer().get().status());
          if (response.status() != 502) {
            assertThat(response.text()).isEqualTo(hostile.answer().get().body());
          }
        } else {
          assertThatThrownBy(() -> client.read(false))
              .as(hostile.rule())
              .isInstanceOf(IOException.class)
              .hasMessageStartingWith("closed after");
        }
      }
      for (int i = 0; i < 2; i++) {
        try (Client other = mesh.client()) {
          Client.Response response = other.get("/second");
          assertThat(response.status()).isEqualTo(200);
          assertThat(response.text()).isEqualTo("own");
        }
      }
      assertThat(backend.accepted()).isEqualTo(hostile.kept() ? 1 : 2);
    }
  }

  /** Its first request gets the case, all others what is theirs. */
  private static void serve(RawBackend.Connection connection, Case hostile, AtomicBoolean done)
      throws IOException {
    for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
      if (done.compareAndSet(false, true)) {
        connection.send(hostile.bytes());
        if (hostile.close()) {
          return;
        }
      } else {
        connection.respond("", "own");
      }
    }
  }
}
