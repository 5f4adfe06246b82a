// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.http2.DefaultHttp2Headers;
import io.netty.handler.codec.http2.DefaultHttp2HeadersDecoder;
import io.netty.handler.codec.http2.DefaultHttp2HeadersEncoder;
import io.netty.handler.codec.http2.Http2Exception;
import io.netty.handler.codec.http2.Http2Headers;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One side of a connection of HTTP/2 that sends exactly the frames that a test says, and shows what
 * comes. Only HPACK is the library's.
 */
final class Http2Peer implements AutoCloseable {

  static final int DATA = 0;
  static final int HEADERS = 1;
  static final int PRIORITY = 2;
  static final int RST_STREAM = 3;
  static final int SETTINGS = 4;
  static final int PING = 6;
  static final int GOAWAY = 7;
  static final int WINDOW_UPDATE = 8;
  static final int CONTINUATION = 9;

  static final int END_STREAM = 1;
  static final int ACK = 1;
  static final int END_HEADERS = 4;

  static final byte[] PREFACE =
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

  private final Socket socket;
  private final DataInputStream in;
  private final OutputStream out;
  private final DefaultHttp2HeadersEncoder encoder =
      new DefaultHttp2HeadersEncoder((name, value) -> false, true);
  private final DefaultHttp2HeadersDecoder decoder = new DefaultHttp2HeadersDecoder(false);

  /** One frame; of a header block its fields, with CONTINUATIONs already joined. */
  @SuppressWarnings("ArrayRecordComponent") // Nobody compares them.
  record Frame(int type, int flags, int stream, byte[] payload, Map<String, String> fields) {

    boolean ends() {
      return (type == DATA || type == HEADERS) && (flags & END_STREAM) != 0;
    }

    String text() {
      return new String(payload, StandardCharsets.UTF_8);
    }

    int number() {
      return ByteBuffer.wrap(payload).getInt();
    }

    /** The code of a RST_STREAM or GOAWAY. */
    int code() {
      return ByteBuffer.wrap(payload).getInt(type == GOAWAY ? 4 : 0);
    }
  }

  /** A whole answer. */
  record Answer(Map<String, String> head, String body, Map<String, String> trailers) {
    String status() {
      return head.getOrDefault(":status", "");
    }
  }

  private Http2Peer(Socket socket) throws IOException {
    this.socket = socket;
    socket.setSoTimeout(20_000);
    socket.setTcpNoDelay(true);
    this.in = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
    this.out = socket.getOutputStream();
  }

  /** A client that has sent its preface and empty settings. */
  static Http2Peer client(int port) throws IOException {
    return client(new Socket(InetAddress.getLoopbackAddress(), port));
  }

  static Http2Peer client(Socket socket) throws IOException {
    Http2Peer peer = new Http2Peer(socket);
    peer.out.write(PREFACE);
    peer.frame(SETTINGS, 0, 0, new byte[0]);
    return peer;
  }

  /** A backend that has read the preface and sent settings. */
  static Http2Peer server(Socket socket, int... settings) throws IOException {
    Http2Peer peer = new Http2Peer(socket);
    byte[] preface = peer.in.readNBytes(PREFACE.length);
    if (!Arrays.equals(preface, PREFACE)) {
      throw new IOException("no preface: " + new String(preface, StandardCharsets.US_ASCII));
    }
    peer.settings(settings);
    return peer;
  }

  /** Pairs of identifier and value. */
  void settings(int... pairs) throws IOException {
    ByteBuffer payload = ByteBuffer.allocate(pairs.length * 3);
    for (int i = 0; i < pairs.length; i += 2) {
      payload.putShort((short) pairs[i]).putInt(pairs[i + 1]);
    }
    frame(SETTINGS, 0, 0, payload.array());
  }

  void frame(int type, int flags, int stream, byte[] payload) throws IOException {
    ByteBuffer frame = ByteBuffer.allocate(9 + payload.length);
    frame.put((byte) (payload.length >> 16)).putShort((short) payload.length);
    frame.put((byte) type).put((byte) flags).putInt(stream).put(payload);
    synchronized (out) {
      out.write(frame.array());
      out.flush();
    }
  }

  void raw(byte[] bytes) throws IOException {
    out.write(bytes);
    out.flush();
  }

  /** Encodes pairs of name and value. */
  byte[] block(int stream, String... fields) throws IOException {
    Http2Headers headers = new DefaultHttp2Headers(false);
    for (int i = 0; i < fields.length; i += 2) {
      headers.add(fields[i], fields[i + 1]);
    }
    ByteBuf block = Unpooled.buffer();
    try {
      encoder.encodeHeaders(stream, headers, block);
    } catch (Http2Exception e) {
      throw new IOException(e);
    }
    byte[] bytes = new byte[block.readableBytes()];
    block.readBytes(bytes);
    return bytes;
  }

  void headers(int stream, boolean end, String... fields) throws IOException {
    frame(HEADERS, END_HEADERS | (end ? END_STREAM : 0), stream, block(stream, fields));
  }

  void get(int stream, String path, String... more) throws IOException {
    request(stream, "GET", path, true, more);
  }

  void request(int stream, String method, String path, boolean end, String... more)
      throws IOException {
    String[] first = {
      ":method", method, ":scheme", "http", ":path", path, ":authority", "cart.shop"
    };
    headers(stream, end, joined(first, more));
  }

  /** An extended CONNECT (RFC 8441) for this protocol. */
  void connect(int stream, String protocol, String... more) throws IOException {
    String[] first = {
      ":method",
      "CONNECT",
      ":protocol",
      protocol,
      ":scheme",
      "http",
      ":path",
      "/chat",
      ":authority",
      "cart.shop",
      "sec-websocket-version",
      "13"
    };
    headers(stream, false, joined(first, more));
  }

  private static String[] joined(String[] first, String... more) {
    String[] all = Arrays.copyOf(first, first.length + more.length);
    System.arraycopy(more, 0, all, first.length, more.length);
    return all;
  }

  void data(int stream, String text, boolean end) throws IOException {
    frame(DATA, end ? END_STREAM : 0, stream, text.getBytes(StandardCharsets.UTF_8));
  }

  void windowUpdate(int stream, int increment) throws IOException {
    frame(WINDOW_UPDATE, 0, stream, ByteBuffer.allocate(4).putInt(increment).array());
  }

  void reset(int stream, int code) throws IOException {
    frame(RST_STREAM, 0, stream, ByteBuffer.allocate(4).putInt(code).array());
  }

  /** The next frame, whatever it is. */
  Frame next() throws IOException {
    Frame frame = one();
    if (frame.type != HEADERS) {
      return frame;
    }
    ByteArrayOutputStream block = new ByteArrayOutputStream();
    block.write(frame.payload);
    int flags = frame.flags;
    while ((flags & END_HEADERS) == 0) {
      Frame more = one();
      block.write(more.payload);
      flags |= more.flags & END_HEADERS;
    }
    Map<String, String> fields = new LinkedHashMap<>();
    try {
      for (Map.Entry<CharSequence, CharSequence> field :
          decoder.decodeHeaders(frame.stream, Unpooled.wrappedBuffer(block.toByteArray()))) {
        fields.merge(
            field.getKey().toString(), field.getValue().toString(), (a, b) -> a + ", " + b);
      }
    } catch (Http2Exception e) {
      throw new IOException(e);
    }
    return new Frame(HEADERS, flags, frame.stream, block.toByteArray(), fields);
  }

  private Frame one() throws IOException {
    int length = in.readUnsignedShort() << 8 | in.readUnsignedByte();
    int type = in.readUnsignedByte();
    int flags = in.readUnsignedByte();
    int stream = in.readInt();
    byte[] payload = new byte[length];
    in.readFully(payload);
    return new Frame(type, flags, stream, payload, Map.of());
  }

  /** The next frame that is about a request or the end of the connection; settings are answered. */
  Frame nextOfInterest() throws IOException {
    while (true) {
      Frame frame = next();
      switch (frame.type) {
        case SETTINGS -> {
          if ((frame.flags & ACK) == 0) {
            frame(SETTINGS, ACK, 0, new byte[0]);
          }
        }
        case PING -> {
          if ((frame.flags & ACK) == 0) {
            frame(PING, ACK, 0, frame.payload);
          }
        }
        case WINDOW_UPDATE, PRIORITY -> {}
        default -> {
          return frame;
        }
      }
    }
  }

  /** The answer of one stream, with credit given for its content; interim ones are left out. */
  Answer answer(int stream) throws IOException {
    Map<String, String> head = Map.of();
    Map<String, String> trailers = Map.of();
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    while (true) {
      Frame frame = nextOfInterest();
      if (frame.type == GOAWAY) {
        continue;
      }
      if (frame.stream != stream) {
        throw new IOException("unexpected " + frame);
      }
      switch (frame.type) {
        case RST_STREAM -> throw new IOException("stream reset: " + frame.code());
        case HEADERS -> {
          if (head.isEmpty()) {
            if (!frame.fields.getOrDefault(":status", "").startsWith("1")) {
              head = frame.fields;
            }
          } else {
            trailers = frame.fields;
          }
        }
        case DATA -> {
          body.write(frame.payload);
          if (frame.payload.length > 0) {
            windowUpdate(0, frame.payload.length);
            if (!frame.ends()) {
              windowUpdate(stream, frame.payload.length);
            }
          }
        }
        default -> throw new IOException("unexpected " + frame);
      }
      if (frame.ends()) {
        return new Answer(head, body.toString(StandardCharsets.UTF_8), trailers);
      }
    }
  }

  /** Reads to the end; the code of the GOAWAY that came before it, -1 without one. */
  int end() throws IOException {
    int code = -1;
    while (true) {
      try {
        Frame frame = next();
        if (frame.type == GOAWAY) {
          code = frame.code();
        }
      } catch (EOFException ended) {
        return code;
      } catch (SocketException reset) {
        return code;
      }
    }
  }

  Socket socket() {
    return socket;
  }

  @Override
  public void close() throws IOException {
    socket.close();
  }
}
