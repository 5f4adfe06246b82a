// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.http;

import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.observe.Counter;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.UpstreamListener;
import dev.weir.proxy.upstream.UpstreamStream;
import io.netty.buffer.ByteBufAllocator;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpUtil;
import io.netty.handler.codec.http.LastHttpContent;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A copy of a request whose answer is thrown away. It never holds the client up: what the endpoint
 * does not take at once waits here up to a bound, beyond which the copy is given up.
 */
final class MirroredRequest extends Loop.Watched implements UpstreamListener {

  /** How long after the end of the request its answer may take. */
  static final long MAX_NANOS = TimeUnit.SECONDS.toNanos(15);

  private final Worker worker;
  private final Loop loop;
  private final HttpRequest request;
  private final boolean bodyless;
  private final ReplayBody early;
  private final int reserved;

  private @Nullable UpstreamStream connection;
  private boolean complete;
  private boolean over;
  private boolean interim;
  private boolean keepAlive;
  private long completeSince;

  private MirroredRequest(
      Worker worker,
      HttpRequest request,
      boolean bodyless,
      ByteBufAllocator allocator,
      int reserved) {
    this.worker = worker;
    this.loop = worker.loop();
    this.request = request;
    this.bodyless = bodyless;
    this.reserved = reserved;
    // What it keeps is reserved already.
    this.early = new ReplayBody(new BodyAllowance(), allocator);
    this.complete = bodyless;
    this.completeSince = loop.coarseNanos();
  }

  /**
   * Begins to send a copy.
   *
   * @param request its head, which is taken over
   * @return null when too many bodies are on their way already
   */
  static @Nullable MirroredRequest send(
      Worker worker,
      Endpoint to,
      Endpoint.Version version,
      HttpRequest request,
      boolean bodyless,
      ByteBufAllocator allocator) {
    int reserved = bodyless ? 0 : most(request);
    if (!worker.bodies().take(reserved)) {
      worker.metrics().count(Counter.MIRROR_LOST);
      return null;
    }
    MirroredRequest mirrored = new MirroredRequest(worker, request, bodyless, allocator, reserved);
    worker.metrics().count(Counter.MIRRORED);
    worker.loop().watch(mirrored);
    to.acquire(worker.loop(), mirrored, version, false);
    return mirrored;
  }

  /** How much of the body may have to wait here. */
  private static int most(HttpRequest request) {
    long length = HttpUtil.getContentLength(request, (long) BodyAllowance.MAX_OF_ONE);
    return Math.clamp(length, 0, BodyAllowance.MAX_OF_ONE);
  }

  /** Part of the body, which stays the caller's. */
  void requestContent(HttpContent part) {
    if (over) {
      return;
    }
    boolean last = part instanceof LastHttpContent;
    UpstreamStream to = connection;
    if (to == null) {
      early.keep(part);
      if (!early.whole()) {
        lose();
        return;
      }
    } else if (to.isWritable()) {
      to.write(part.retainedDuplicate());
    } else {
      lose();
      return;
    }
    if (last) {
      complete = true;
      completeSince = loop.coarseNanos();
      flush();
    }
  }

  /** Sends what was written. */
  void flush() {
    UpstreamStream to = connection;
    if (to != null) {
      to.flush();
    }
  }

  /** Nothing more of the request comes. */
  void requestEnded() {
    if (!over && !complete) {
      lose();
    }
  }

  @Override
  protected void check(long nowNanos) {
    if (complete && nowNanos - completeSince > MAX_NANOS) {
      lose();
    }
  }

  private void lose() {
    worker.metrics().count(Counter.MIRROR_LOST);
    finish(false);
  }

  private void finish(boolean reuse) {
    over = true;
    loop.unwatch(this);
    early.release();
    worker.bodies().give(reserved);
    UpstreamStream from = connection;
    connection = null;
    if (from != null) {
      if (reuse) {
        from.release();
      } else {
        from.close();
      }
    }
  }

  @Override
  public void connected(UpstreamStream made) {
    if (over) {
      made.release();
      return;
    }
    connection = made;
    if (!made.reused()) {
      worker.metrics().count(Counter.UPSTREAM_OPENED);
    }
    made.expectHead(request.method().equals(HttpMethod.HEAD));
    made.write(request);
    if (bodyless) {
      made.write(LastHttpContent.EMPTY_LAST_CONTENT);
    } else {
      early.writeTo(made);
      early.release();
    }
    made.flush();
  }

  @Override
  public void connectFailed(Throwable cause) {
    worker.metrics().count(Counter.UPSTREAM_FAILED);
    if (!over) {
      lose();
    }
  }

  @Override
  public void response(HttpResponse response) {
    interim = response.status().codeClass() == HttpStatusClass.INFORMATIONAL;
    keepAlive = HttpUtil.isKeepAlive(response);
  }

  @Override
  public void content(HttpContent content) {
    boolean last = content instanceof LastHttpContent;
    content.release();
    if (last && interim) {
      interim = false;
    } else if (last && complete) {
      finish(keepAlive);
    } else if (last) {
      // It has heard enough.
      lose();
    }
  }

  @Override
  public void closed(Throwable cause) {
    connection = null;
    if (!over) {
      lose();
    }
  }

  @Override
  public void readComplete() {}

  @Override
  public void writabilityChanged() {}
}
