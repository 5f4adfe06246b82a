// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.hbone;

import dev.weir.proxy.tcp.Answerable;
import dev.weir.proxy.upstream.Passing;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.AbstractChannel;
import io.netty.channel.Channel;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelMetadata;
import io.netty.channel.ChannelOption;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.ChannelPromise;
import io.netty.channel.DefaultChannelConfig;
import io.netty.channel.EventLoop;
import io.netty.channel.WriteBufferWaterMark;
import io.netty.channel.socket.ChannelInputShutdownEvent;
import io.netty.channel.socket.DuplexChannel;
import io.netty.util.ReferenceCountUtil;
import java.net.SocketAddress;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * One stream of a tunnel as a channel: what is a socket's elsewhere is a stream's here. Each
 * direction ends by itself. What comes while nobody reads waits here, at most one window of the
 * stream; the peer may send more when it was read. What is written and the peer does not take waits
 * as in any channel, and makes it unwritable.
 *
 * <p>Closing it ends what is sent; with {@link ChannelOption#SO_LINGER} 0 it is cut off, as a
 * socket is. All of it runs on the tunnel's event loop.
 */
final class TunnelStream extends AbstractChannel implements DuplexChannel, Answerable, Passing {

  private static final ChannelMetadata METADATA = new ChannelMetadata(false, 16);

  /** Given to HTTP/2 and not written yet; more waits in the channel, where it counts. */
  private static final int MAX_IN_FLIGHT = 32 * 1024;

  private static final int SERVICE_UNAVAILABLE = 503;

  private final TunnelConnection tunnel;
  private final int id;
  private final Config config = new Config();
  private final ArrayDeque<ByteBuf> received = new ArrayDeque<>(2);

  private int waiting;
  private int inFlight;
  private boolean readWanted;
  private boolean delivering;
  private boolean inputEnded;
  private boolean inputEndTold;
  private boolean endWanted;
  private boolean outputEnded;
  private boolean cut;
  private boolean closed;
  private boolean answered;
  private int refusal = SERVICE_UNAVAILABLE;
  private @Nullable ChannelFuture end;

  /**
   * A stream.
   *
   * @param answered whether both sides agreed on it; else it waits for an answer of ours
   */
  TunnelStream(TunnelConnection tunnel, int id, boolean answered) {
    super(tunnel.channel());
    this.answered = answered;
    this.tunnel = tunnel;
    this.id = id;
    config.setWriteBufferWaterMark(new WriteBufferWaterMark(16384, 65536));
  }

  private final class Config extends DefaultChannelConfig {
    private boolean abortive;
    private boolean halfClosure = true;

    Config() {
      super(TunnelStream.this);
    }

    @Override
    public <T> boolean setOption(ChannelOption<T> option, T value) {
      if (option.equals(ChannelOption.SO_LINGER)) {
        abortive = Integer.valueOf(0).equals(value);
        return true;
      }
      if (option.equals(ChannelOption.ALLOW_HALF_CLOSURE)) {
        halfClosure = Boolean.TRUE.equals(value);
        return true;
      }
      return super.setOption(option, value);
    }
  }

  /** Number of the stream. */
  int streamId() {
    return id;
  }

  /** Bytes that came and were not read. */
  int waiting() {
    return waiting;
  }

  // ---- from the peer

  /** Takes bytes over; they are given back to flow control when they are read. */
  void receive(ByteBuf bytes) {
    if (closed || inputEnded || !bytes.isReadable()) {
      tunnel.consumed(id, bytes.readableBytes());
      bytes.release();
      return;
    }
    waiting += bytes.readableBytes();
    tunnel.waits(bytes.readableBytes());
    received.add(bytes);
    deliver();
  }

  /** The peer sends no more. */
  void receiveEnd() {
    inputEnded = true;
    deliver();
  }

  /** The stream is gone, and not because both sides had ended it. */
  void receiveReset(Throwable cause) {
    if (!closed) {
      cut = true;
      outputEnded = true;
      pipeline().fireExceptionCaught(cause);
      unsafe().close(unsafe().voidPromise());
    }
  }

  @Override
  public void accept() {
    if (!answered && !closed) {
      answered = true;
      var _ = tunnel.answer(this, 200, false);
    }
  }

  @Override
  public void refuse(int status) {
    refusal = status;
  }

  @Override
  public boolean leaving() {
    return tunnel.leaving();
  }

  /** Whether both sides ended it. */
  boolean ended() {
    return inputEnded && outputEnded;
  }

  @Override
  protected void doBeginRead() {
    readWanted = true;
    deliver();
  }

  private boolean mayDeliver() {
    return !closed && !received.isEmpty() && (readWanted || config.isAutoRead());
  }

  private void deliver() {
    if (delivering || !isRegistered()) {
      return;
    }
    delivering = true;
    int read = 0;
    try {
      // What is flushed when a round of reading is complete may make room for another round.
      while (mayDeliver()) {
        while (mayDeliver()) {
          readWanted = false;
          ByteBuf bytes = received.poll();
          int length = bytes.readableBytes();
          waiting -= length;
          read += length;
          pipeline().fireChannelRead(bytes);
        }
        // Also when it was closed meanwhile: what was read is flushed to others then.
        pipeline().fireChannelReadComplete();
      }
      if (received.isEmpty() && inputEnded && !inputEndTold && !closed) {
        inputEndTold = true;
        if (config.halfClosure) {
          pipeline().fireUserEventTriggered(ChannelInputShutdownEvent.INSTANCE);
        } else {
          unsafe().close(unsafe().voidPromise());
        }
      }
    } finally {
      delivering = false;
      if (read > 0) {
        tunnel.waits(-read);
        tunnel.consumed(id, read);
      }
    }
  }

  // ---- to the peer

  @Override
  protected Object filterOutboundMessage(Object message) {
    if (message instanceof ByteBuf) {
      return message;
    }
    throw new UnsupportedOperationException("a tunnel carries bytes, not " + message.getClass());
  }

  @Override
  protected void doWrite(ChannelOutboundBuffer out) {
    // What is flushed may be written at once, and makes room for more.
    while (pass(out)) {
      tunnel.flush();
    }
  }

  /** Gives HTTP/2 what it may have; tells whether there was anything. */
  private boolean pass(ChannelOutboundBuffer out) {
    boolean passed = false;
    while (inFlight < MAX_IN_FLIGHT && out.current() instanceof ByteBuf bytes) {
      int length = bytes.readableBytes();
      if (length > 0) {
        inFlight += length;
        tunnel.writeData(this, bytes.retain(), false).addListener(done -> written(length));
        passed = true;
      }
      out.remove();
    }
    if (out.isEmpty() && endWanted) {
      passed |= endOutput();
    }
    return passed;
  }

  private void written(int length) {
    inFlight -= length;
    ChannelOutboundBuffer out = unsafe().outboundBuffer();
    if (!closed && out != null && (!out.isEmpty() || endWanted) && inFlight < MAX_IN_FLIGHT / 2) {
      ((Streams) unsafe()).goOn();
    }
  }

  private boolean endOutput() {
    endWanted = false;
    if (outputEnded) {
      return false;
    }
    outputEnded = true;
    end = tunnel.writeData(this, Unpooled.EMPTY_BUFFER, true);
    return true;
  }

  @Override
  public ChannelFuture shutdownOutput(ChannelPromise promise) {
    endWanted = true;
    ChannelOutboundBuffer out = unsafe().outboundBuffer();
    if ((out == null || out.isEmpty()) && endOutput()) {
      tunnel.flush();
    }
    return promise.setSuccess();
  }

  @Override
  protected void doClose() {
    closed = true;
    int left = waiting;
    waiting = 0;
    received.forEach(ReferenceCountUtil::release);
    received.clear();
    if (left > 0) {
      tunnel.waits(-left);
      tunnel.consumed(id, left);
    }
    if (cut) {
      tunnel.forget(this);
    } else if (!answered) {
      answered = true;
      outputEnded = true;
      var _ = tunnel.answer(this, refusal, true);
      tunnel.leave(this, inputEnded, end);
    } else if (config.abortive) {
      outputEnded = true;
      tunnel.cutOff(this);
    } else {
      if (endOutput()) {
        tunnel.flush();
      }
      tunnel.leave(this, inputEnded, end);
    }
  }

  // ---- what a channel has to say

  @Override
  protected AbstractUnsafe newUnsafe() {
    return new Streams();
  }

  private final class Streams extends AbstractUnsafe {
    @Override
    public void connect(SocketAddress remote, SocketAddress local, ChannelPromise promise) {
      promise.setFailure(new UnsupportedOperationException("a stream is connected"));
    }

    void goOn() {
      flush0();
    }
  }

  @Override
  @SuppressWarnings("ReferenceEquality") // a loop is itself alone
  protected boolean isCompatible(EventLoop loop) {
    return loop == parent().eventLoop();
  }

  @Override
  public Channel parent() {
    return tunnel.channel();
  }

  @Override
  protected @Nullable SocketAddress localAddress0() {
    return parent().localAddress();
  }

  @Override
  protected @Nullable SocketAddress remoteAddress0() {
    return parent().remoteAddress();
  }

  @Override
  protected void doBind(SocketAddress local) {
    throw new UnsupportedOperationException("a stream has no address");
  }

  @Override
  protected void doDisconnect() {
    doClose();
  }

  @Override
  public ChannelConfig config() {
    return config;
  }

  @Override
  public boolean isOpen() {
    return !closed;
  }

  @Override
  public boolean isActive() {
    return !closed;
  }

  @Override
  public ChannelMetadata metadata() {
    return METADATA;
  }

  @Override
  public boolean isInputShutdown() {
    return inputEnded;
  }

  @Override
  public boolean isOutputShutdown() {
    return outputEnded || endWanted;
  }

  @Override
  public boolean isShutdown() {
    return isInputShutdown() && isOutputShutdown();
  }

  @Override
  public ChannelFuture shutdownInput() {
    return shutdownInput(newPromise());
  }

  @Override
  public ChannelFuture shutdownInput(ChannelPromise promise) {
    return promise.setFailure(new UnsupportedOperationException("close it instead"));
  }

  @Override
  public ChannelFuture shutdownOutput() {
    return shutdownOutput(newPromise());
  }

  @Override
  public ChannelFuture shutdown() {
    return shutdown(newPromise());
  }

  @Override
  public ChannelFuture shutdown(ChannelPromise promise) {
    return shutdownInput(promise);
  }
}
