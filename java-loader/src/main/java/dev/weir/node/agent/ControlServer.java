// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import java.io.IOException;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import jdk.net.ExtendedSocketOptions;

/**
 * Answers frames on a Unix socket, each connection on a thread of its own, for root and for the
 * user this process runs as.
 */
final class ControlServer implements AutoCloseable {

  /** How long a peer may stay silent, and may take to read an answer. */
  private static final Duration IDLE = Duration.ofMinutes(5);

  /** More at a time would only be a mistake of somebody who is root. */
  private static final int MAX_CONNECTIONS = 32;

  /**
   * An answer.
   *
   * @param frame to send
   * @param afterwards what to do when it is sent
   */
  record Reply(Frame frame, Runnable afterwards) {
    Reply(Frame frame) {
      this(frame, () -> {});
    }
  }

  private final Path path;
  private final ServerSocketChannel server;
  private final Function<Frame, Reply> handler;
  private final Log log;
  private final Semaphore connections = new Semaphore(MAX_CONNECTIONS);

  /**
   * Begins to listen. A socket file that is there is replaced: the caller holds the lock that says
   * it is nobody's.
   */
  ControlServer(Path path, Function<Frame, Reply> handler, Log log) throws IOException {
    this.path = path;
    this.handler = handler;
    this.log = log;
    Files.deleteIfExists(path);
    server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
    try {
      server.bind(UnixDomainSocketAddress.of(path));
      Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
    } catch (IOException e) {
      server.close();
      throw e;
    }
    Thread.ofPlatform().name("weir-control").daemon().start(this::accept);
  }

  private void accept() {
    while (server.isOpen()) {
      try {
        SocketChannel channel = server.accept();
        if (connections.tryAcquire()) {
          Thread.ofVirtual().name("weir-control-connection").start(() -> serve(channel));
        } else {
          channel.close();
        }
      } catch (IOException e) {
        if (server.isOpen()) {
          log.error(path + ": accept: " + e.getMessage());
        }
      }
    }
  }

  private void serve(SocketChannel channel) {
    try (FrameChannel frames = new FrameChannel(channel)) {
      if (!trusted(channel)) {
        log.error(path + ": refused a connection of another user");
        return;
      }
      while (true) {
        var request = frames.receive(IDLE);
        if (request.isEmpty()) {
          return;
        }
        Reply reply = answer(request.get());
        frames.send(reply.frame(), IDLE);
        reply.afterwards().run();
      }
    } catch (IOException e) {
      log.debug(path + ": " + e.getMessage());
    } finally {
      connections.release();
    }
  }

  private Reply answer(Frame request) {
    try {
      return handler.apply(request);
    } catch (RuntimeException e) {
      return new Reply(Frame.of(FrameType.ERROR, String.valueOf(e.getMessage())));
    }
  }

  /** SO_PEERCRED, unix(7). Its user names compare as numbers where a user has no name. */
  private boolean trusted(SocketChannel channel) throws IOException {
    String peer = channel.getOption(ExtendedSocketOptions.SO_PEERCRED).user().getName();
    return peer.equals("root") || peer.equals(Files.getOwner(path).getName());
  }

  /** Where it listens. */
  SocketAddress address() throws IOException {
    return server.getLocalAddress();
  }

  /** Stops listening and removes the socket file. */
  @Override
  public void close() throws IOException {
    server.close();
    Files.deleteIfExists(path);
  }
}
