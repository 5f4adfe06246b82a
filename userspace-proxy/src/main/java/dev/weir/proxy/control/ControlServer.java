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
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;

/**
 * The proxy's Unix socket (docs/protocols.md, frames): 4 bytes length, 1 byte type, payload. Serves
 * root and the proxy's own user.
 */
public final class ControlServer {

  /** Longest frame, type and payload. */
  static final int MAX_FRAME = 64 << 20;

  /** Beside the socket for commands. */
  static final String HAND_OVER = "listeners.sock";

  private static final int UPDATE = 1;
  private static final int STATUS = 2;
  private static final int METRICS = 3;
  private static final int DRAIN = 4;
  private static final int NAMESPACES = 5;
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
    Files.deleteIfExists(path);
    var binding =
        new ServerBootstrap()
            .group(group)
            .channel(EpollServerDomainSocketChannel.class)
            .childHandler(
                new ChannelInitializer<EpollDomainSocketChannel>() {
                  @Override
                  protected void initChannel(EpollDomainSocketChannel channel) throws IOException {
                    accept(channel);
                  }
                })
            .bind(new DomainSocketAddress(path.toFile()))
            .awaitUninterruptibly();
    if (!binding.isSuccess()) {
      throw new IOException("bind " + path + ": " + binding.cause().getMessage(), binding.cause());
    }
    this.listener = binding.channel();
    Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
    this.handOver = path.resolveSibling(HAND_OVER);
    this.handOverListener = serveHandOver(group);
  }

  /** Sockets that listen elsewhere come in here, one descriptor with each byte (unix(7)). */
  private Channel serveHandOver(EventLoopGroup group) throws IOException {
    Files.deleteIfExists(handOver);
    var binding =
        new ServerBootstrap()
            .group(group)
            .channel(EpollServerDomainSocketChannel.class)
            .childOption(
                EpollChannelOption.DOMAIN_SOCKET_READ_MODE, DomainSocketReadMode.FILE_DESCRIPTORS)
            .childHandler(
                new ChannelInitializer<EpollDomainSocketChannel>() {
                  @Override
                  protected void initChannel(EpollDomainSocketChannel channel) throws IOException {
                    if (admitted(channel)) {
                      channel.pipeline().addLast(new Descriptors());
                    }
                  }
                })
            .bind(new DomainSocketAddress(handOver.toFile()))
            .awaitUninterruptibly();
    if (!binding.isSuccess()) {
      var _ = listener.close();
      throw new IOException(
          "bind " + handOver + ": " + binding.cause().getMessage(), binding.cause());
    }
    Files.setPosixFilePermissions(handOver, PosixFilePermissions.fromString("rw-------"));
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

  /** Closes the socket and removes its file. */
  public void close() throws IOException {
    listener.close().awaitUninterruptibly();
    handOverListener.close().awaitUninterruptibly();
    Files.deleteIfExists(path);
    Files.deleteIfExists(handOver);
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
      case NAMESPACES -> {
        Set<Long> cookies = new HashSet<>();
        ByteBuffer numbers = ByteBuffer.wrap(payload);
        while (numbers.hasRemaining()) {
          cookies.add(numbers.getLong());
        }
        return new Reply(JSON, commands.namespaces(cookies));
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
      case STATUS, METRICS -> length == 0;
      case DRAIN -> length == 8;
      case NAMESPACES -> length % Long.BYTES == 0 && length / Long.BYTES <= MOST_NAMESPACES;
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
