// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.wire;

import dev.weir.proxy.loop.Loop;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.handler.codec.http2.Http2Error;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Flags;
import io.netty.handler.codec.http2.Http2FrameAdapter;
import io.netty.handler.codec.http2.Http2Headers;
import io.netty.handler.codec.http2.Http2LifecycleManager;
import io.netty.handler.codec.http2.Http2Settings;

/**
 * Frames of a peer of which those that carry nothing are taken from a budget; when it is spent, the
 * connection ends with {@code ENHANCE_YOUR_CALM}. Priorities of requests are passed over (RFC 9113
 * 5.3).
 */
public abstract class BudgetedFrames extends Http2FrameAdapter {

  /** What a header section or a frame of content earns. */
  private static final int EARNED = 4;

  private final Loop loop;
  private final Http2LifecycleManager connection;
  private final FrameBudget budget;

  /**
   * A full budget.
   *
   * @param connection told of an error that the library does not let a listener throw
   * @param most frames at once
   * @param perSecond earned by waiting
   */
  protected BudgetedFrames(Loop loop, Http2LifecycleManager connection, int most, int perSecond) {
    this.loop = loop;
    this.connection = connection;
    this.budget = new FrameBudget(most, perSecond, loop.coarseNanos());
  }

  /** Something came or went that is no flood. */
  public final void earn() {
    budget.earn(EARNED);
  }

  /** Something came that carries nothing. */
  protected final void idle() throws Http2Exception {
    if (!budget.take(loop.coarseNanos())) {
      throw Http2Exception.connectionError(
          Http2Error.ENHANCE_YOUR_CALM, "more frames without content than there is any use for");
    }
  }

  @Override
  public final void onHeadersRead(
      ChannelHandlerContext ctx,
      int streamId,
      Http2Headers headers,
      int dependency,
      short weight,
      boolean exclusive,
      int padding,
      boolean ended)
      throws Http2Exception {
    onHeadersRead(ctx, streamId, headers, padding, ended);
  }

  @Override
  public final int onDataRead(
      ChannelHandlerContext ctx, int streamId, ByteBuf data, int padding, boolean ended)
      throws Http2Exception {
    if (data.isReadable()) {
      earn();
    } else if (!ended) {
      idle();
    }
    return content(streamId, data, data.readableBytes() + padding, ended);
  }

  /**
   * Content of a stream.
   *
   * @param data stays the library's
   * @param bytes of the window that it takes
   * @return how many of those may be acknowledged at once
   */
  protected abstract int content(int streamId, ByteBuf data, int bytes, boolean ended);

  @Override
  public final void onPingRead(ChannelHandlerContext ctx, long data) throws Http2Exception {
    idle();
  }

  @Override
  public final void onPingAckRead(ChannelHandlerContext ctx, long data) throws Http2Exception {
    idle();
  }

  @Override
  public final void onSettingsRead(ChannelHandlerContext ctx, Http2Settings settings)
      throws Http2Exception {
    idle();
    settings(settings);
  }

  /** What the peer says of itself; the library keeps to it already. */
  protected void settings(Http2Settings settings) {}

  @Override
  public final void onPriorityRead(
      ChannelHandlerContext ctx, int streamId, int dependency, short weight, boolean exclusive)
      throws Http2Exception {
    idle();
  }

  @Override
  public final void onWindowUpdateRead(ChannelHandlerContext ctx, int streamId, int increment)
      throws Http2Exception {
    idle();
  }

  @Override
  public final void onUnknownFrame(
      ChannelHandlerContext ctx, byte type, int streamId, Http2Flags flags, ByteBuf payload) {
    try {
      idle();
    } catch (Http2Exception e) {
      connection.onError(ctx, false, e);
    }
  }
}
