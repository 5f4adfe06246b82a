// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.loop.Loop;
import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.http.DefaultHttpContent;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpObject;
import io.netty.handler.codec.http.HttpRequestEncoder;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.util.ReferenceCountUtil;
import org.jspecify.annotations.Nullable;

/**
 * One HTTP/1.1 connection to a backend, carrying one request at a time. Belongs to the event loop
 * of the client connection it serves, and to that loop's pool between requests.
 */
final class UpstreamConnection extends ChannelInboundHandlerAdapter implements UpstreamStream {

  private final Loop loop;
  private final Endpoint endpoint;
  private final Channel channel;
  private final ResponseDecoder decoder;
  private @Nullable UpstreamListener listener;
  // Whose response was read since the last readComplete; it may have released this already.
  private @Nullable UpstreamListener served;
  private long idleSince;
  private boolean used;
  private boolean dirty;
  private boolean upgraded;

  UpstreamConnection(Loop loop, Endpoint endpoint, Channel channel, ResponseDecoder decoder) {
    this.loop = loop;
    this.endpoint = endpoint;
    this.channel = channel;
    this.decoder = decoder;
  }

  @Override
  public Endpoint endpoint() {
    return endpoint;
  }

  @Override
  public boolean reused() {
    return used;
  }

  void attach(UpstreamListener newListener) {
    listener = newListener;
  }

  @Override
  public void expectHead(boolean head) {
    decoder.expectHead(head);
  }

  @Override
  public void upgrade(Runnable told) {
    upgraded = true;
    channel.pipeline().remove(HttpRequestEncoder.class);
    told.run();
    // With it goes what it has read.
    channel.pipeline().remove(decoder);
  }

  @Override
  public void write(HttpObject object) {
    dirty = true;
    if (upgraded && object instanceof HttpContent bytes) {
      var _ = channel.write(bytes.content(), channel.voidPromise());
      return;
    }
    var _ = channel.write(object, channel.voidPromise());
  }

  @Override
  public void flush() {
    if (dirty) {
      dirty = false;
      channel.flush();
    }
  }

  @Override
  public boolean isWritable() {
    return channel.isWritable();
  }

  @Override
  public void reading(boolean on) {
    if (channel.config().isAutoRead() != on && channel.isActive()) {
      channel.config().setAutoRead(on);
    }
  }

  /** Back to the pool. */
  @Override
  public void release() {
    listener = null;
    used = true;
    idleSince = loop.coarseNanos();
    // A pool that does not read would not see the backend close.
    reading(true);
    if (decoder.hasLeftover()) {
      // Bytes beyond the response would be taken for the next one's answer.
      var _ = channel.close();
    } else {
      endpoint.release(loop, this);
    }
  }

  /** Once the response has come, back to the pool. */
  @Override
  public void discard(boolean keepAlive) {
    // Whoever it was for may have paused it.
    reading(true);
    listener = new Discarding(loop, this, keepAlive);
  }

  /** It serves nobody else. */
  @Override
  public void close() {
    listener = null;
    var _ = channel.close();
  }

  boolean isActive() {
    return channel.isActive() && !(channel instanceof Passing passing && passing.leaving());
  }

  long idleSince() {
    return idleSince;
  }

  @Override
  public void channelRead(ChannelHandlerContext ctx, Object message) {
    UpstreamListener to = listener;
    if (to == null) {
      // A response nobody asked for: whatever it is, it must not answer the next request.
      ReferenceCountUtil.release(message);
      var _ = channel.close();
      return;
    }
    served = to;
    if (message instanceof ByteBuf bytes) {
      to.content(new DefaultHttpContent(bytes));
      return;
    }
    if (((HttpObject) message).decoderResult().isFailure()) {
      Throwable cause = ((HttpObject) message).decoderResult().cause();
      ReferenceCountUtil.release(message);
      listener = null;
      var _ = channel.close();
      to.malformed(cause);
      return;
    }
    if (message instanceof HttpResponse response) {
      to.response(response);
    } else if (message instanceof HttpContent content) {
      to.content(content);
    }
  }

  @Override
  public void channelReadComplete(ChannelHandlerContext ctx) {
    if (listener == null && decoder.hasLeftover()) {
      // Sent to nobody, while it lies in the pool.
      var _ = channel.close();
    }
    UpstreamListener to = served;
    served = null;
    if (to != null) {
      to.readComplete();
    }
  }

  @Override
  public void channelWritabilityChanged(ChannelHandlerContext ctx) {
    UpstreamListener to = listener;
    if (to != null) {
      to.writabilityChanged();
    }
  }

  @Override
  public void channelInactive(ChannelHandlerContext ctx) {
    endpoint.ended(loop, this);
    UpstreamListener to = listener;
    if (to != null) {
      listener = null;
      to.closed(new Ended("the backend closed the connection", false));
    }
  }

  @Override
  public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
    fail(cause);
  }

  private void fail(Throwable cause) {
    UpstreamListener to = listener;
    listener = null;
    var _ = channel.close();
    if (to != null) {
      to.closed(cause);
    }
  }
}
