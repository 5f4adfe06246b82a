// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy.resilience;

import dev.weir.policy.plan.TrafficPolicy.HealthCheck;
import dev.weir.policy.plan.TrafficPolicy.HealthCheckType;
import dev.weir.proxy.loop.Loop;
import dev.weir.proxy.upstream.Endpoint;
import dev.weir.proxy.upstream.UpstreamListener;
import dev.weir.proxy.upstream.UpstreamStream;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.handler.codec.http.DefaultHttpRequest;
import io.netty.handler.codec.http.DefaultLastHttpContent;
import io.netty.handler.codec.http.HttpContent;
import io.netty.handler.codec.http.HttpHeaderNames;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpMethod;
import io.netty.handler.codec.http.HttpRequest;
import io.netty.handler.codec.http.HttpResponse;
import io.netty.handler.codec.http.HttpStatusClass;
import io.netty.handler.codec.http.HttpVersion;
import io.netty.handler.codec.http.LastHttpContent;
import io.netty.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/** One question to an endpoint, over a connection of its own; all of it on one event loop. */
final class Probe implements UpstreamListener, Endpoint.Dialled {

  private static final String AGENT = "weir-health-check";

  /** {@code grpc.health.v1.HealthCheckRequest} about everything: a message of no bytes. */
  private static final byte[] GRPC_REQUEST = {0, 0, 0, 0, 0};

  /** {@code HealthCheckResponse} with status SERVING: field 1 is 1. */
  private static final byte[] SERVING = {0, 0, 0, 0, 2, 8, 1};

  private static final int MOST_BYTES = 64;

  private final Loop loop;
  private final HealthChecks.Check check;
  private final Consumer<String> answered;
  private @Nullable UpstreamStream stream;
  private @Nullable Future<?> timer;
  private boolean over;
  private ByteBuf body = Unpooled.EMPTY_BUFFER;

  /**
   * A question.
   *
   * @param answered told once why the endpoint is not well; the empty text when it is
   */
  Probe(Loop loop, HealthChecks.Check check, Consumer<String> answered) {
    this.loop = loop;
    this.check = check;
    this.answered = answered;
  }

  void begin() {
    int millis = check.setting().timeoutMillis();
    timer =
        loop.executor()
            .schedule(() -> end("no answer in " + millis + " ms"), millis, TimeUnit.MILLISECONDS);
    if (check.setting().type() == HealthCheckType.TCP) {
      check.endpoint().dial(loop, this);
    } else {
      check.endpoint().acquire(loop, this, version(), true);
    }
  }

  private Endpoint.Version version() {
    return check.setting().type() == HealthCheckType.GRPC
        ? Endpoint.Version.HTTP_2
        : check.version();
  }

  private void end(String why) {
    if (over) {
      return;
    }
    over = true;
    if (timer != null) {
      timer.cancel(false);
    }
    UpstreamStream asked = stream;
    stream = null;
    if (asked != null) {
      asked.close();
    }
    body.release();
    answered.accept(why);
  }

  // ---- TCP

  @Override
  public void connected(Channel channel) {
    var _ = channel.close();
    end("");
  }

  // ---- HTTP and gRPC

  @Override
  public void connected(UpstreamStream given) {
    if (over) {
      given.close();
      return;
    }
    stream = given;
    HealthCheck setting = check.setting();
    boolean grpc = setting.type() == HealthCheckType.GRPC;
    HttpRequest request =
        new DefaultHttpRequest(
            HttpVersion.HTTP_1_1,
            grpc ? HttpMethod.POST : HttpMethod.GET,
            grpc ? "/grpc.health.v1.Health/Check" : setting.path());
    HttpHeaders headers = request.headers();
    headers.set(HttpHeaderNames.HOST, check.host());
    headers.set(HttpHeaderNames.USER_AGENT, AGENT);
    if (grpc) {
      headers.set(HttpHeaderNames.CONTENT_TYPE, "application/grpc");
      headers.set(HttpHeaderNames.TE, "trailers");
      given.write(request);
      given.write(new DefaultLastHttpContent(Unpooled.wrappedBuffer(GRPC_REQUEST)));
    } else {
      given.write(request);
      given.write(LastHttpContent.EMPTY_LAST_CONTENT);
    }
    given.flush();
  }

  @Override
  public void connectFailed(Throwable cause) {
    end("no connection: " + cause.getMessage());
  }

  @Override
  public void response(HttpResponse response) {
    int status = response.status().code();
    if (response.status().codeClass() == HttpStatusClass.INFORMATIONAL || over) {
      return;
    }
    HealthCheck setting = check.setting();
    if (setting.type() == HealthCheckType.HTTP) {
      boolean good = status >= setting.firstStatus() && status <= setting.lastStatus();
      end(good ? "" : "it answered " + status);
    } else if (status != 200 || response.headers().contains("grpc-status")) {
      end(
          status != 200
              ? "it answered " + status
              : "grpc-status " + response.headers().get("grpc-status"));
    }
  }

  @Override
  public void content(HttpContent content) {
    if (!over && content.content().isReadable()) {
      if (body.readableBytes() + content.content().readableBytes() > MOST_BYTES) {
        end("its answer is no HealthCheckResponse");
      } else {
        ByteBuf longer = Unpooled.copiedBuffer(body, content.content());
        body.release();
        body = longer;
      }
    }
    if (!over && content instanceof LastHttpContent last) {
      String status = last.trailingHeaders().get("grpc-status");
      end(
          !"0".equals(status)
              ? "grpc-status " + status
              : body.equals(Unpooled.wrappedBuffer(SERVING)) ? "" : "it is not SERVING");
    }
    content.release();
  }

  @Override
  public void readComplete() {
    // What it has to say is said with the answer.
  }

  @Override
  public void writabilityChanged() {
    // It writes once, and little.
  }

  @Override
  public void closed(Throwable cause) {
    stream = null;
    end("no answer: " + cause.getMessage());
  }
}
