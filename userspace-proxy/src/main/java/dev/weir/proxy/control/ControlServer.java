// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.control;

import dev.weir.policy.plan.PlanFormatException;
import dev.weir.policy.plan.ProxyUpdateCodec;
import dev.weir.proxy.observe.Log;
import dev.weir.proxy.outbound.UpdateRefusedException;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.channel.unix.DomainSocketReadMode;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.unix.PeerCredentials;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * The proxy's Unix socket (docs/protocols.md, frames): 4 bytes length, 1 byte type, payload. Serves
 * root and the proxy's own user.
 */
public final class ControlServer {

  /** Longest frame, type and payload. */
  static final int MAX_FRAME = 64 << 20;

  /** The name of a proxy's socket for commands; that of a successor is another one at first. */
  private static final String USUAL = "proxy.sock";

  private static final int UPDATE = 1;
  private static final int STATUS = 2;
  private static final int METRICS = 3;
  private static final int DRAIN = 4;
  private static final int NAMESPACES = 5;
  private static final int HAND_OVER = 6;
  private static final int CANARIES = 7;
  private static final int RELEASE = 8;

  /** Longest path of a Unix socket (unix(7)). */
  private static final int LONGEST_PATH = 107;

  /** Two names of at most 253 characters each, with their namespaces of 63. */
  private static final int MOST_RELEASE = 1024;

  private static final int MOST_NAMESPACES = 65_536;
  private static final int OK = 128;
  private static final int ERROR = 129;
  private static final int JSON = 130;
  private static final int TEXT = 131;

  private final Commands commands;
  private final Log log;
  private final Path path;
  private final int ownUser;
  private final Channel listener;
  private final Path handOver;
  private final long inode;
  private final long handOverInode;

  /** There is a successor, which puts its sockets in our place at any moment. */
  private volatile boolean succeeded;

  private final Channel handOverListener;

  /**
   * Serves.
   *
   * @param group one thread, on which all commands run
   * @param path of the socket; what is there is replaced
   * @throws IOException when the socket cannot be made
   */
  public ControlServer(EventLoopGroup group, Path path, Commands commands, Log log)
      throws IOException {
    this.commands = commands;
    this.log = log;
    this.path = path;
    // Whoever owns this process's /proc entry is who runs it.
    this.ownUser = (Integer) Files.getAttribute(Path.of("/proc/self"), "unix:uid");
    this.listener =
        serve(
            path,
            new ServerBootstrap()
                .group(group)
                .childHandler(
                    new ChannelInitializer<EpollDomainSocketChannel>() {
                      @Override
                      protected void initChannel(EpollDomainSocketChannel channel)
                          throws IOException {
                        accept(channel);
                      }
                    }));
    this.handOver = forDescriptors(path);
    this.handOverListener = serveHandOver(group);
    this.inode = inode(path);
    this.handOverInode = inode(handOver);
  }

  /**
   * {@code listeners.sock} beside {@code proxy.sock}, {@code X-listeners.sock} beside {@code X}.
   */
  static Path forDescriptors(Path socket) {
    String name = String.valueOf(socket.getFileName());
    return socket.resolveSibling(
        name.equals(USUAL) ? "listeners.sock" : name.replace(".sock", "") + "-listeners.sock");
  }

  private static long inode(Path file) throws IOException {
    return (Long) Files.getAttribute(file, "unix:ino");
  }

  /** Removes a socket's file, also where it has been renamed to since, but no other one's. */
  private static void remove(Path file, Path usual, long inode) throws IOException {
    for (Path place : List.of(file, usual)) {
      if (Files.exists(place) && inode(place) == inode) {
        Files.delete(place);
      }
    }
  }

  /** Sockets that listen elsewhere come in here, one descriptor with each byte (unix(7)). */
  private Channel serveHandOver(EventLoopGroup group) throws IOException {
    try {
      return serve(
          handOver,
          new ServerBootstrap()
              .group(group)
              .childOption(
                  EpollChannelOption.DOMAIN_SOCKET_READ_MODE, DomainSocketReadMode.FILE_DESCRIPTORS)
              .childHandler(
                  new ChannelInitializer<EpollDomainSocketChannel>() {
                    @Override
                    protected void initChannel(EpollDomainSocketChannel channel)
                        throws IOException {
                      if (admitted(channel)) {
                        channel.pipeline().addLast(new Descriptors());
                      }
                    }
                  }));
    } catch (IOException e) {
      var _ = listener.close();
      throw e;
    }
  }

  /**
   * Listens under another name first: Netty removes the file of the name that it has bound when it
   * closes, and by then that may be a successor's.
   */
  private static Channel serve(Path place, ServerBootstrap bootstrap) throws IOException {
    Path first = place.resolveSibling(place.getFileName() + ".new");
    Files.deleteIfExists(first);
    var binding =
        bootstrap
            .channel(EpollServerDomainSocketChannel.class)
            .bind(new DomainSocketAddress(first.toFile()))
            .awaitUninterruptibly();
    if (!binding.isSuccess()) {
      throw new IOException("bind " + first + ": " + binding.cause().getMessage(), binding.cause());
    }
    Files.setPosixFilePermissions(first, PosixFilePermissions.fromString("rw-------"));
    Files.move(first, place, StandardCopyOption.ATOMIC_MOVE);
    return binding.channel();
  }

  private final class Descriptors extends SimpleChannelInboundHandler<FileDescriptor> {
    @Override
    protected void channelRead0(ChannelHandlerContext ctx, FileDescriptor descriptor) {
      commands.adopt(descriptor.intValue());
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      log.warn("hand-over of listeners: closed: " + cause);
      var _ = ctx.close();
    }
  }

  /** Closes the sockets, and removes their files unless they are a successor's to replace. */
  public void close() throws IOException {
    listener.close().awaitUninterruptibly();
    handOverListener.close().awaitUninterruptibly();
    if (!succeeded) {
      Path usual = path.resolveSibling(USUAL);
      remove(path, usual, inode);
      remove(handOver, forDescriptors(usual), handOverInode);
    }
  }

  private void accept(EpollDomainSocketChannel channel) throws IOException {
    if (admitted(channel)) {
      channel.pipeline().addLast(new Frames());
    }
  }

  private boolean admitted(EpollDomainSocketChannel channel) throws IOException {
    PeerCredentials peer = channel.peerCredentials();
    if (peer.uid() != 0 && peer.uid() != ownUser) {
      log.refused(
          "control: user "
              + peer.uid()
              + " (process "
              + peer.pid()
              + ") refused: only root and user "
              + ownUser
              + " may speak here");
      var _ = channel.close();
      return false;
    }
    return true;
  }

  private record Reply(int type, String text) {}

  private Reply serve(int type, byte[] payload) {
    switch (type) {
      case UPDATE -> {
        try {
          commands.update(ProxyUpdateCodec.decode(payload));
          return new Reply(OK, "");
        } catch (PlanFormatException e) {
          return new Reply(
              ERROR,
              "the update cannot be read: "
                  + e.getMessage()
                  + "; agent and proxy must be of the same version");
        } catch (OutOfMemoryError e) {
          // What was made of it is garbage again; the generation in force is untouched.
          return new Reply(
              ERROR,
              "the update needs more memory than the proxy has; raise -Xmx in proxy.options");
        } catch (UpdateRefusedException e) {
          return new Reply(ERROR, String.valueOf(e.getMessage()));
        }
      }
      case STATUS -> {
        return new Reply(JSON, commands.status());
      }
      case METRICS -> {
        return new Reply(TEXT, commands.metrics());
      }
      case CANARIES -> {
        return new Reply(JSON, commands.canaries());
      }
      case RELEASE -> {
        String[] names = new String(payload, StandardCharsets.UTF_8).split(" ", 2);
        int released = commands.release(names[0], names.length > 1 ? names[1] : "");
        return released > 0
            ? new Reply(JSON, "{\"released\":" + released + "}")
            : new Reply(
                ERROR,
                "nothing of route "
                    + names[0]
                    + " is rolled back; `weir canary list` tells what is");
      }
      case NAMESPACES -> {
        Set<Long> cookies = new HashSet<>();
        ByteBuffer numbers = ByteBuffer.wrap(payload);
        while (numbers.hasRemaining()) {
          cookies.add(numbers.getLong());
        }
        return new Reply(JSON, commands.namespaces(cookies));
      }
      case HAND_OVER -> {
        try {
          commands.handOver(Path.of(new String(payload, StandardCharsets.UTF_8)));
          succeeded = true;
          return new Reply(OK, "");
        } catch (IOException | InvalidPathException e) {
          return new Reply(ERROR, "listeners are not handed over: " + e.getMessage());
        }
      }
      default -> {
        commands.drain(ByteBuffer.wrap(payload).getLong());
        return new Reply(OK, "");
      }
    }
  }

  private static boolean wellFormed(int type, int length) {
    return switch (type) {
      case UPDATE -> true;
      case STATUS, METRICS, CANARIES -> length == 0;
      case RELEASE -> length > 0 && length <= MOST_RELEASE;
      case DRAIN -> length == 8;
      case NAMESPACES -> length % Long.BYTES == 0 && length / Long.BYTES <= MOST_NAMESPACES;
      case HAND_OVER -> length >= 1 && length <= LONGEST_PATH;
      default -> false;
    };
  }

  /**
   * Collects frames in heap memory that grows with what really comes: an update may be larger than
   * all direct memory, and a length alone must cost nothing.
   */
  private final class Frames extends SimpleChannelInboundHandler<ByteBuf> {
    private final byte[] head = new byte[5];
    private int headRead;
    private byte[] payload = new byte[0];
    private int payloadRead;

    @Override
    protected void channelRead0(ChannelHandlerContext ctx, ByteBuf in) {
      while (in.isReadable() && ctx.channel().isActive()) {
        if (headRead < head.length) {
          int take = Math.min(head.length - headRead, in.readableBytes());
          in.readBytes(head, headRead, take);
          headRead += take;
          if (headRead < head.length) {
            return;
          }
          if (length() < 0 || length() >= MAX_FRAME || !wellFormed(type(), length())) {
            refuse(ctx, "a frame of type " + type() + " and length " + (length() + 1));
            return;
          }
        }
        int take = Math.min(length() - payloadRead, in.readableBytes());
        if (payload.length < payloadRead + take) {
          payload =
              Arrays.copyOf(
                  payload, Math.min(length(), Math.max(payloadRead + take, payload.length * 2)));
        }
        in.readBytes(payload, payloadRead, take);
        payloadRead += take;
        if (payloadRead == length()) {
          byte[] whole =
              payload.length == payloadRead ? payload : Arrays.copyOf(payload, payloadRead);
          payload = new byte[0];
          payloadRead = 0;
          headRead = 0;
          answer(ctx, serve(type(), whole));
        }
      }
    }

    private int length() {
      return ByteBuffer.wrap(head).getInt() - 1;
    }

    private int type() {
      return head[4] & 0xff;
    }

    private void refuse(ChannelHandlerContext ctx, String what) {
      log.refused("control: closed: " + what + " is not one that the proxy knows");
      var _ = ctx.close();
    }

    private void answer(ChannelHandlerContext ctx, Reply reply) {
      byte[] text = reply.text.getBytes(StandardCharsets.UTF_8);
      ByteBuf out = Unpooled.buffer(5 + text.length);
      out.writeInt(1 + text.length).writeByte(reply.type).writeBytes(text);
      var _ = ctx.writeAndFlush(out);
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
      log.warn("control: closed: " + cause);
      var _ = ctx.close();
    }
  }
}
