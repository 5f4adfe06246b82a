// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Clock;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class ControlServerTest {

  private static final Duration SOON = Duration.ofSeconds(5);
  private static final Log LOG =
      new Log(new PrintStream(PrintStream.nullOutputStream()), false, false, Clock.systemUTC());

  @TempDir private Path directory;

  @Test
  void aRequestIsAnswered() throws IOException {
    Path socket = directory.resolve("s");
    try (ControlServer server =
        new ControlServer(
            socket, request -> new ControlServer.Reply(Frame.of(FrameType.TEXT, "hi")), LOG)) {
      assertThat(server.address()).hasToString(socket.toString());
      Frame reply = ControlClient.call(socket, Frame.of(FrameType.METRICS), SOON);
      assertThat(reply.text()).isEqualTo("hi");
    }
  }

  @Test
  void aHandlerThatFailsAnswersWithItsMessage() throws IOException {
    Path socket = directory.resolve("s");
    try (ControlServer server =
        new ControlServer(
            socket,
            request -> {
              throw new IllegalStateException("cannot do " + request.type());
            },
            LOG)) {
      assertThat(server.address()).isNotNull();
      Frame reply = ControlClient.call(socket, Frame.of(FrameType.CONFIRM), SOON);
      assertThat(reply.type()).isEqualTo(FrameType.ERROR);
      assertThat(reply.text()).isEqualTo("cannot do CONFIRM");
    }
  }

  @Test
  void whatIsToBeDoneAfterwardsIsDoneWhenTheAnswerIsOut() throws Exception {
    Path socket = directory.resolve("s");
    CountDownLatch done = new CountDownLatch(1);
    try (ControlServer server =
        new ControlServer(
            socket,
            request -> new ControlServer.Reply(Frame.of(FrameType.OK), done::countDown),
            LOG)) {
      assertThat(server.address()).isNotNull();
      assertThat(ControlClient.call(socket, Frame.of(FrameType.DOWN), SOON).type())
          .isEqualTo(FrameType.OK);
      assertThat(done.await(5, TimeUnit.SECONDS)).isTrue();
    }
  }

  @Test
  void theSocketIsItsOwnersAlone() throws IOException {
    Path socket = directory.resolve("s");
    try (ControlServer server =
        new ControlServer(
            socket, request -> new ControlServer.Reply(Frame.of(FrameType.OK)), LOG)) {
      assertThat(server.address()).isNotNull();
      assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(socket)))
          .isEqualTo("rw-------");
    }
    assertThat(socket).doesNotExist();
  }

  @Test
  void whenNobodyListensTheErrorNamesTheSocket() {
    Path socket = directory.resolve("s");
    assertThatThrownBy(() -> ControlClient.call(socket, Frame.of(FrameType.STATUS), SOON))
        .isInstanceOf(IOException.class)
        .hasMessageContaining(socket.toString());
  }
}
