// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class FrameChannelTest {

  private static final Duration SOON = Duration.ofSeconds(5);

  @TempDir private Path directory;

  @SuppressWarnings("NullAway.Init")
  private SocketChannel raw;

  @SuppressWarnings("NullAway.Init")
  private FrameChannel frames;

  @BeforeEach
  void connect() throws IOException {
    try (ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
      UnixDomainSocketAddress address = UnixDomainSocketAddress.of(directory.resolve("s"));
      server.bind(address);
      raw = SocketChannel.open(address);
      frames = new FrameChannel(server.accept());
    }
  }

  @AfterEach
  void close() throws IOException {
    raw.close();
    frames.close();
  }

  private void send(int... bytes) throws IOException {
    ByteBuffer buffer = ByteBuffer.allocate(bytes.length);
    for (int each : bytes) {
      buffer.put((byte) each);
    }
    buffer.flip();
    while (buffer.hasRemaining()) {
      raw.write(buffer);
    }
  }

  @Test
  void aFrameIsLengthTypeAndPayload() {
    ByteBuffer encoded = FrameChannel.encode(Frame.of(FrameType.ERROR, "no"));
    byte[] bytes = new byte[encoded.remaining()];
    encoded.get(bytes);
    assertThat(bytes).containsExactly(0, 0, 0, 3, (byte) 129, 'n', 'o');
  }

  @Test
  void whatIsSentIsReceived() throws IOException {
    send(0, 0, 0, 3, 131, 'h', 'i', 0, 0, 0, 1, 2);
    Frame first = frames.receive(SOON).orElseThrow();
    assertThat(first.type()).isEqualTo(FrameType.TEXT);
    assertThat(first.text()).isEqualTo("hi");
    assertThat(frames.receive(SOON).orElseThrow().type()).isEqualTo(FrameType.STATUS);
  }

  @Test
  void aLargeFramePassesWholeThoughSocketBuffersAreSmall() throws Exception {
    byte[] payload = new byte[3 << 20];
    payload[payload.length - 1] = 7;
    try (FrameChannel other = new FrameChannel(raw)) {
      Thread sender =
          Thread.ofVirtual()
              .start(
                  () -> {
                    try {
                      other.send(Frame.of(FrameType.UPDATE, payload), SOON);
                    } catch (IOException e) {
                      throw new AssertionError(e);
                    }
                  });
      assertThat(frames.receive(SOON).orElseThrow().payload()).isEqualTo(payload);
      sender.join();
    }
  }

  @Test
  void aPeerThatClosesBetweenFramesHasNothingMoreToSay() throws IOException {
    raw.close();
    assertThat(frames.receive(SOON)).isEmpty();
  }

  @Test
  void aPeerThatClosesWithinAFrameIsAnError() throws IOException {
    send(0, 0, 0, 9, 131, 'h');
    raw.close();
    assertThatThrownBy(() -> frames.receive(SOON)).isInstanceOf(EOFException.class);
  }

  @Test
  void aTypeNobodyKnowsIsAnError() throws IOException {
    send(0, 0, 0, 1, 99);
    assertThatThrownBy(() -> frames.receive(SOON)).hasMessageContaining("unknown type 99");
  }

  @Test
  void aFrameLongerThanTheLimitIsRefusedBeforeItIsRead() throws IOException {
    send(4, 0, 0, 1, 131);
    assertThatThrownBy(() -> frames.receive(SOON)).hasMessageContaining("frame length: 67108865");
  }

  @Test
  void aFrameOfLengthZeroIsRefused() throws IOException {
    send(0, 0, 0, 0, 131);
    assertThatThrownBy(() -> frames.receive(SOON)).hasMessageContaining("frame length: 0");
  }

  @Test
  void aSilentPeerIsNotWaitedForLongerThanTheTimeout() {
    assertThatThrownBy(() -> frames.receive(Duration.ofMillis(50)))
        .hasMessageContaining("did not answer in time");
  }
}
