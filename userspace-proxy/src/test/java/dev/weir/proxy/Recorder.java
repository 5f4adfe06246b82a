// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import dev.weir.policy.route.RequestTarget;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What a backend does that notes each whole request that comes, and whatever in its writing leaves
 * more than one reading. Answers 200, with the target in {@code x-target}.
 */
final class Recorder implements RawBackend.Behaviour {

  private static final Pattern NAME = Pattern.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+");
  private static final Pattern VALUE = Pattern.compile("[\\t\\x20-\\x7e\\x80-\\xff]*");
  private static final Pattern REQUEST_LINE = Pattern.compile("([!-~]+) ([!-~]+) (HTTP/1\\.[01])");

  /**
   * A whole request.
   *
   * @param host in lower case; empty without one
   * @param doubts about how it was written
   */
  record Arrived(String method, String target, String host, String body, List<String> doubts) {

    /** Without what a proxy may change: the form of the target. */
    HostileRequest.Reach reading() {
      String origin = target;
      if (target.regionMatches(true, 0, "http://", 0, 7)) {
        int path = target.indexOf('/', 7);
        origin =
            path < 0
                ? "/" + target.substring(7).replaceFirst("^[^?]*", "")
                : target.substring(path);
      }
      return new HostileRequest.Reach(
          method, RequestTarget.parse(origin).map(RequestTarget::text).orElse(origin), body);
    }
  }

  private final List<Arrived> arrived = new ArrayList<>();

  /** What came since the last time. */
  synchronized List<Arrived> take() {
    List<Arrived> taken = List.copyOf(arrived);
    arrived.clear();
    return taken;
  }

  private synchronized void note(Arrived one) {
    arrived.add(one);
  }

  @Override
  public void serve(RawBackend.Connection connection) throws IOException {
    while (true) {
      Reading reading = new Reading(connection.in);
      Arrived one = reading.request();
      if (one == null) {
        return;
      }
      note(one);
      connection.send(
          "HTTP/1.1 200 OK\r\nx-target: " + one.target() + "\r\nContent-Length: 0\r\n\r\n");
    }
  }

  /** Of one request. */
  private static final class Reading {
    private final InputStream in;
    private final List<String> doubts = new ArrayList<>();

    Reading(InputStream in) {
      this.in = in;
    }

    /** The next request, or null where the connection ends without a whole one. */
    @Nullable Arrived request() throws IOException {
      String first = line();
      if (first == null) {
        return null;
      }
      var parts = REQUEST_LINE.matcher(first);
      if (!parts.matches()) {
        doubts.add("request line: " + first);
        return new Arrived("?", first, "", "", doubts);
      }
      int lengths = 0;
      int codings = 0;
      int hosts = 0;
      long length = 0;
      String host = "";
      for (String line = line(); ; line = line()) {
        if (line == null) {
          return null;
        }
        if (line.isEmpty()) {
          break;
        }
        int colon = line.indexOf(':');
        String name = colon < 0 ? line : line.substring(0, colon);
        String value = colon < 0 ? "" : line.substring(colon + 1).strip();
        if (colon < 0 || !NAME.matcher(name).matches() || !VALUE.matcher(value).matches()) {
          doubts.add("header: " + line);
        }
        switch (name.toLowerCase(Locale.ROOT)) {
          case "host" -> {
            hosts++;
            host = value.toLowerCase(Locale.ROOT);
          }
          case "content-length" -> {
            lengths++;
            if (value.matches("[0-9]{1,19}") && new BigInteger(value).bitLength() < 64) {
              length = Long.parseLong(value);
            } else {
              doubts.add(line);
            }
          }
          case "transfer-encoding" -> {
            codings++;
            if (!value.equals("chunked")) {
              doubts.add(line);
            }
          }
          default -> {}
        }
      }
      if (lengths > 1 || codings > 1 || lengths + codings > 1 || hosts > 1) {
        doubts.add(hosts + " Host, " + lengths + " Content-Length, " + codings + " codings");
      }
      String body = codings > 0 ? chunks() : exactly(length);
      return body == null
          ? null
          : new Arrived(parts.group(1), parts.group(2), host, body, List.copyOf(doubts));
    }

    private @Nullable String chunks() throws IOException {
      StringBuilder body = new StringBuilder();
      while (true) {
        String size = line();
        if (size == null) {
          return null;
        }
        if (!size.matches("[0-9A-Fa-f]{1,8}")) {
          doubts.add("chunk: " + size);
          return body.toString();
        }
        long bytes = Long.parseLong(size, 16);
        if (bytes == 0) {
          break;
        }
        String data = exactly(bytes);
        String end = line();
        if (data == null || end == null) {
          return null;
        }
        if (!end.isEmpty()) {
          doubts.add("behind a chunk: " + end);
        }
        body.append(data);
      }
      for (String trailer = line(); ; trailer = line()) {
        if (trailer == null) {
          return null;
        }
        if (trailer.isEmpty()) {
          return body.toString();
        }
        String name = trailer.substring(0, Math.max(0, trailer.indexOf(':')));
        if (!NAME.matcher(name).matches()
            || name.matches("(?i)host|content-length|transfer-encoding")) {
          doubts.add("trailer: " + trailer);
        }
      }
    }

    private @Nullable String exactly(long length) throws IOException {
      byte[] bytes = in.readNBytes((int) Math.min(length, 1 << 20));
      return bytes.length < length ? null : new String(bytes, StandardCharsets.ISO_8859_1);
    }

    private @Nullable String line() throws IOException {
      ByteArrayOutputStream line = new ByteArrayOutputStream();
      for (int b = in.read(); b != '\n'; b = in.read()) {
        if (b < 0) {
          return null;
        }
        line.write(b);
      }
      String text = line.toString(StandardCharsets.ISO_8859_1);
      if (!text.endsWith("\r")) {
        doubts.add("ends in LF: " + text);
        return text;
      }
      String inner = text.substring(0, text.length() - 1);
      if (inner.indexOf('\r') >= 0) {
        doubts.add("CR in: " + inner);
      }
      return inner;
    }
  }
}
