// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import static org.assertj.core.api.Assertions.assertThat;

import dev.weir.proxy.HostileClient.End;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Each case of {@code hostile/requests.txt}, by a real socket, with what came to the backend. */
@Timeout(60)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
final class HostileRequestTest {

  private final Recorder recorder = new Recorder();
  private final RawBackend backend;
  private final Mesh mesh;

  HostileRequestTest() throws Exception {
    backend = new RawBackend(recorder);
    mesh = new Mesh();
    mesh.serve(backend.port());
  }

  @AfterAll
  void stop() throws Exception {
    mesh.close();
    backend.close();
  }

  static List<HostileRequest> cases() {
    return HostileRequest.all();
  }

  @Test
  void theCorpusIsNotSmall() {
    assertThat(cases()).hasSizeGreaterThan(300);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void isReadAsTheRuleSays(HostileRequest request) throws Exception {
    HostileClient.Outcome outcome = HostileClient.send(mesh.port, request, 10_000);
    List<Recorder.Arrived> arrived = arrived();
    assertThat(
            arrived.stream()
                .map(one -> new HostileRequest.Reach(one.method(), one.target(), one.body())))
        .as(request.rule())
        .containsExactlyElementsOf(request.expected());
    assertThat(arrived).allSatisfy(one -> assertThat(one.doubts()).isEmpty());
    assertThat(outcome.end()).isEqualTo(request.cut() ? End.CLOSED : End.OPEN);
    if (request.refuse() > 0) {
      assertThat(outcome.status()).isEqualTo(request.refuse());
      assertThat(outcome.answers().getLast().header("connection")).isEqualTo("close");
    }
    int answers =
        request.expected().size() + (request.refuse() > 0 ? 1 : 0) + (request.local() > 0 ? 1 : 0);
    if (request.local() > 0) {
      assertThat(outcome.answers().getFirst().status()).isEqualTo(request.local());
    }
    if (!request.end()) {
      assertThat(outcome.answers()).hasSize(answers);
    }
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("cases")
  void isReadTheSameInPieces(HostileRequest request) throws Exception {
    HostileClient.Outcome outcome = HostileClient.trickle(mesh.port, request, 10_000);
    assertThat(readings()).as(request.rule()).isEqualTo(request.expected());
    assertThat(outcome.end()).isEqualTo(request.cut() ? End.CLOSED : End.OPEN);
  }

  private List<HostileRequest.Reach> readings() throws Exception {
    return arrived().stream()
        .map(one -> new HostileRequest.Reach(one.method(), one.target(), one.body()))
        .toList();
  }

  private List<Recorder.Arrived> arrived() throws Exception {
    HostileClient.settle(mesh.port);
    return recorder.take().stream().filter(one -> !one.target().equals("/settled")).toList();
  }
}
