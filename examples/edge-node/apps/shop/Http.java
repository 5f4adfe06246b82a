// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** As much HTTP/1.1 as the shop needs: plain, keep-alive, bodies with a length or chunked. */
final class Http {

  /** Start line and headers (names in lower case), and the body. */
  record Message(String startLine, Map<String, String> headers, byte[] body) {
    String text() {
      return new String(body, StandardCharsets.UTF_8);
    }
  }

  /** Answers one request. */
  interface Handler {
    Message answer(String method, String path, Message request) throws IOException;
  }

  private Http() {}

  /** Serves for ever, each connection on a thread of its own. */
  static void serve(int port, Handler handler) throws IOException {
    try (ServerSocket server = new ServerSocket(port, 1024, InetAddress.getByName("127.0.0.1"))) {
      System.out.println("listening on " + port);
      while (true) {
        Socket connection = server.accept();
        Thread.ofVirtual().start(() -> serve(connection, handler));
      }
    }
  }

  private static void serve(Socket connection, Handler handler) {
    try (connection) {
      connection.setTcpNoDelay(true);
      InputStream in = new BufferedInputStream(connection.getInputStream());
      OutputStream out = new BufferedOutputStream(connection.getOutputStream());
      while (true) {
        Optional<Message> request = read(in);
        if (request.isEmpty()) {
          return;
        }
        String[] line = request.get().startLine().split(" ", -1);
        write(out, handler.answer(line[0], line[1], request.get()));
        if ("close".equals(request.get().headers().get("connection"))) {
          return;
        }
      }
    } catch (IOException e) {
      // The peer went away; there is nobody left to tell.
    }
  }

  /** An answer with a text. */
  static Message response(int status, Map<String, String> headers, String body) {
    return new Message("HTTP/1.1 " + status + " -", headers, body.getBytes(StandardCharsets.UTF_8));
  }

  /** Asks once, on a connection of its own. */
  static Message get(String host, int port, String path) throws IOException {
    try (Socket connection = new Socket(host, port)) {
      connection.setSoTimeout(5000);
      OutputStream out = new BufferedOutputStream(connection.getOutputStream());
      Map<String, String> headers = Map.of("host", host, "connection", "close");
      write(out, new Message("GET " + path + " HTTP/1.1", headers, new byte[0]));
      return read(new BufferedInputStream(connection.getInputStream()))
          .orElseThrow(() -> new EOFException("no answer"));
    }
  }

  /** The next message; empty when the peer has closed. */
  static Optional<Message> read(InputStream in) throws IOException {
    String startLine = line(in);
    if (startLine.isEmpty()) {
      return Optional.empty();
    }
    Map<String, String> headers = new LinkedHashMap<>();
    for (String line = line(in); !line.isEmpty(); line = line(in)) {
      int colon = line.indexOf(':');
      if (colon < 1) {
        throw new IOException("no header: " + line);
      }
      headers.put(
          line.substring(0, colon).toLowerCase(Locale.ROOT), line.substring(colon + 1).strip());
    }
    byte[] body;
    if ("chunked".equals(headers.get("transfer-encoding"))) {
      body = chunks(in);
    } else {
      int length = Integer.parseInt(headers.getOrDefault("content-length", "0"));
      body = exactly(in, length);
    }
    return Optional.of(new Message(startLine, headers, body));
  }

  private static byte[] chunks(InputStream in) throws IOException {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    for (int size = Integer.parseInt(line(in), 16); size > 0; ) {
      body.write(exactly(in, size));
      line(in);
      size = Integer.parseInt(line(in), 16);
    }
    while (!line(in).isEmpty()) {
      // trailers
    }
    return body.toByteArray();
  }

  private static byte[] exactly(InputStream in, int length) throws IOException {
    byte[] bytes = in.readNBytes(length);
    if (bytes.length < length) {
      throw new EOFException("closed within a body");
    }
    return bytes;
  }

  private static String line(InputStream in) throws IOException {
    StringBuilder line = new StringBuilder();
    for (int c = in.read(); c != '\n'; c = in.read()) {
      if (c < 0) {
        if (line.isEmpty()) {
          return "";
        }
        throw new EOFException("closed within a line");
      }
      if (c != '\r') {
        line.append((char) c);
      }
    }
    return line.toString();
  }

  /** Writes a message with its length, in one packet if it is small. */
  static void write(OutputStream out, Message message) throws IOException {
    StringBuilder head = new StringBuilder(message.startLine()).append("\r\n");
    message.headers().forEach((name, value) -> head.append(name + ": " + value + "\r\n"));
    if (message.startLine().startsWith("HTTP/") || message.body().length > 0) {
      head.append("content-length: " + message.body().length + "\r\n");
    }
    out.write(head.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1));
    out.write(message.body());
    out.flush();
  }
}
