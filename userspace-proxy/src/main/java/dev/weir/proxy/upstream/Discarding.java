// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.upstream;

import dev.weir.proxy.loop.Loop;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import java.util.concurrent.TimeUnit;

/**
 * Throws away a response that nobody wants, so that its connection serves others. One that is long
 * in coming or in size costs more than a new connection, and loses this one.
 */
final class Discarding extends Loop.Watched implements UpstreamListener {

  static final int MAX_BYTES = 65_536;
  static final long MAX_NANOS = TimeUnit.SECONDS.toNanos(15);

  private final Loop loop;
  private final UpstreamStream connection;
  private final long since;
  private boolean keepAlive;
  private boolean interim;
  private int bytes;

  Discarding(Loop loop, UpstreamStream connection, boolean keepAlive) {
    this.loop = loop;
    this.connection = connection;
    this.keepAlive = keepAlive;
    this.since = loop.coarseNanos();
    loop.watch(this);
  }

  @Override
  protected void check(long nowNanos) {
    if (nowNanos - since > MAX_NANOS) {
      giveUp();
    }
  }

  private void giveUp() {
    loop.unwatch(this);
    connection.close();
  }

  @Override
  public void response(HttpResponse response) {
    if (response.status().codeClass() == HttpStatusClass.INFORMATIONAL) {
      interim = true;
    } else {
      keepAlive &= HttpUtil.isKeepAlive(response);
    }
  }

  @Override
  public void content(HttpContent content) {
    bytes += content.content().readableBytes();
    content.release();
    if (bytes > MAX_BYTES) {
      giveUp();
    } else if (content instanceof LastHttpContent) {
      if (interim) {
        interim = false;
      } else if (keepAlive) {
        loop.unwatch(this);
        connection.release();
      } else {
        giveUp();
      }
    }
  }

  @Override
  public void closed(Throwable cause) {
    loop.unwatch(this);
  }

  @Override
  public void connected(UpstreamStream made) {
    throw new IllegalStateException("it has its connection");
  }

  @Override
  public void connectFailed(Throwable cause) {
    throw new IllegalStateException("it has its connection");
  }

  @Override
  public void readComplete() {}

  @Override
  public void writabilityChanged() {}
}
