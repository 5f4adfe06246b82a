// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.EOFException;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;

/** Asks the agent or the proxy, one connection per question. */
public final class ControlClient {

  private ControlClient() {}

  /**
   * Sends a request and waits for its reply.
   *
   * @param socket of the server
   * @param request to send
   * @param timeout for the reply
   * @throws IOException when nobody listens, or no reply comes in time
   */
  public static Frame call(Path socket, Frame request, Duration timeout) throws IOException {
    SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
    try (channel) {
      channel.connect(UnixDomainSocketAddress.of(socket));
      try (FrameChannel frames = new FrameChannel(channel)) {
        frames.send(request, timeout);
        return frames
            .receive(timeout)
            .orElseThrow(() -> new EOFException("closed without an answer"));
      }
    } catch (IOException e) {
      throw new IOException(socket + ": " + e.getMessage(), e);
    }
  }
}
