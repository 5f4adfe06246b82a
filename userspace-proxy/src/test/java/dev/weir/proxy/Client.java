// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** A client that writes bytes and reads responses by the book. */
final class Client implements AutoCloseable {

  private final Socket socket;
  private final InputStream in;

  Client(int port) throws IOException {
    this(new Socket(InetAddress.getLoopbackAddress(), port));
  }

  Client(Socket socket) throws IOException {
    this.socket = socket;
    socket.setSoTimeout(15_000);
    socket.setTcpNoDelay(true);
    this.in = new BufferedInputStream(socket.getInputStream());
  }

  /** A response. */
  record Response(int status, List<String> headers, String text, List<String> trailers) {
    String header(String name) {
      return headers.stream()
          .filter(line -> line.toLowerCase(Locale.ROOT).startsWith(name + ":"))
          .map(line -> line.substring(name.length() + 1).strip())
          .findFirst()
          .orElse("");
    }
  }

  Socket socket() {
    return socket;
  }

  InputStream in() {
    return in;
  }

  Client send(String text) throws IOException {
    socket.getOutputStream().write(text.getBytes(StandardCharsets.ISO_8859_1));
    return this;
  }

  Response get(String path) throws IOException {
    return get(path, "");
  }

  Response get(String path, String headers) throws IOException {
    send("GET " + path + " HTTP/1.1\r\nHost: cart\r\n" + headers + "\r\n");
    return read(false);
  }

  /** Reads one response. */
  Response read(boolean toHead) throws IOException {
    String status = line();
    if (!status.startsWith("HTTP/1.1 ")) {
      throw new IOException("not a status line: " + status);
    }
    int code = Integer.parseInt(status.substring(9, 12));
    List<String> headers = lines();
    Response head = new Response(code, headers, "", List.of());
    if (toHead || code < 200 || code == 204 || code == 304) {
      return head;
    }
    List<String> trailers = List.of();
    byte[] body;
    if (head.header("transfer-encoding").equals("chunked")) {
      ByteArrayOutputStream chunks = new ByteArrayOutputStream();
      for (int size = chunkSize(); size > 0; size = chunkSize()) {
        chunks.write(exactly(size));
        if (!line().isEmpty()) {
          throw new IOException("no line end after a chunk");
        }
      }
      trailers = lines();
      body = chunks.toByteArray();
    } else if (head.header("content-length").isEmpty()) {
      body = in.readAllBytes();
    } else {
      body = exactly(Integer.parseInt(head.header("content-length")));
    }
    return new Response(code, headers, new String(body, StandardCharsets.ISO_8859_1), trailers);
  }

  /** Reads a head as it is on the wire, with the empty line at its end, and nothing after it. */
  String head() throws IOException {
    StringBuilder head = new StringBuilder();
    while (head.indexOf("\r\n\r\n") < 0) {
      int b = in.read();
      if (b < 0) {
        throw new EOFException("closed after '" + head + "'");
      }
      head.append((char) b);
    }
    return head.toString();
  }

  /** Reads this many characters. */
  String text(int size) throws IOException {
    return new String(exactly(size), StandardCharsets.ISO_8859_1);
  }

  private int chunkSize() throws IOException {
    return Integer.parseInt(line(), 16);
  }

  private byte[] exactly(int size) throws IOException {
    byte[] bytes = in.readNBytes(size);
    if (bytes.length < size) {
      throw new EOFException("closed after " + bytes.length + " of " + size + " bytes");
    }
    return bytes;
  }

  private List<String> lines() throws IOException {
    List<String> lines = new ArrayList<>();
    for (String line = line(); !line.isEmpty(); line = line()) {
      lines.add(line);
    }
    return lines;
  }

  private String line() throws IOException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    for (int b = in.read(); b != '\n'; b = in.read()) {
      if (b < 0) {
        throw new EOFException("closed after '" + line + "'");
      }
      line.write(b);
    }
    String text = line.toString(StandardCharsets.ISO_8859_1);
    return text.endsWith("\r") ? text.substring(0, text.length() - 1) : text;
  }

  /** Whether the other side closes now. */
  boolean closed() throws IOException {
    try {
      return in.read() < 0;
    } catch (java.net.SocketException reset) {
      return true;
    }
  }

  @Override
  public void close() throws IOException {
    socket.close();
  }
}
