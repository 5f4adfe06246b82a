// SPDX-License-Identifier: Apache-2.0
package dev.weir.proxy;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

/** A backend that does to the wire exactly what a test says. */
final class RawBackend implements AutoCloseable {

  /** What it does with one connection; the connection is closed when it returns. */
  @FunctionalInterface
  interface Behaviour {
    void serve(Connection connection) throws IOException;
  }

  private final ServerSocket listener;
  private final Set<Socket> open = ConcurrentHashMap.newKeySet();
  private final AtomicInteger accepted = new AtomicInteger();

  /** One connection. */
  static final class Connection {
    final Socket socket;
    final InputStream in;
    final OutputStream out;

    Connection(Socket socket) throws IOException {
      this.socket = socket;
      this.in = new BufferedInputStream(socket.getInputStream());
      this.out = socket.getOutputStream();
    }

    /** The next request's head, with the empty line; empty at the end. */
    String head() throws IOException {
      ByteArrayOutputStream head = new ByteArrayOutputStream();
      for (int b = in.read(); b >= 0; b = in.read()) {
        head.write(b);
        String text = head.toString(StandardCharsets.ISO_8859_1);
        if (text.endsWith("\r\n\r\n")) {
          return text;
        }
      }
      return "";
    }

    /** The value of a header of a head, or the empty string. */
    static String value(String head, String name) {
      for (String line : head.split("\r\n", -1)) {
        if (line.toLowerCase(Locale.ROOT).startsWith(name + ":")) {
          return line.substring(name.length() + 1).strip();
        }
      }
      return "";
    }

    void send(String text) throws IOException {
      out.write(text.getBytes(StandardCharsets.ISO_8859_1));
      out.flush();
    }

    void respond(String headers, String body) throws IOException {
      send(
          "HTTP/1.1 200 OK\r\nContent-Length: " + body.length() + "\r\n" + headers + "\r\n" + body);
    }
  }

  RawBackend(Behaviour behaviour) throws IOException {
    this(0, behaviour);
  }

  RawBackend(int port, Behaviour behaviour) throws IOException {
    this(InetAddress.getLoopbackAddress(), port, behaviour);
  }

  RawBackend(InetAddress address, int port, Behaviour behaviour) throws IOException {
    this(new ServerSocket(port, 500, address), behaviour);
  }

  RawBackend(ServerSocket listener, Behaviour behaviour) {
    this.listener = listener;
    Thread.ofVirtual()
        .start(
            () -> {
              while (!listener.isClosed()) {
                try {
                  Socket socket = listener.accept();
                  accepted.incrementAndGet();
                  open.add(socket);
                  Thread.ofVirtual().start(() -> run(socket, behaviour));
                } catch (IOException closed) {
                  return;
                }
              }
            });
  }

  private void run(Socket socket, Behaviour behaviour) {
    try (socket) {
      behaviour.serve(new Connection(socket));
    } catch (IOException gone) {
      // The proxy went away first; the test looks at what the client saw.
    } finally {
      open.remove(socket);
    }
  }

  /** Answers every request without a body with its name, for as long as it lasts. */
  static Behaviour named(String name) {
    return connection -> {
      for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
        connection.respond(
            "x-version: " + name + "\r\n", name + " " + head.lines().findFirst().orElse(""));
      }
    };
  }

  /** Answers every request with its own body. */
  static Behaviour echo() {
    return connection -> {
      for (String head = connection.head(); !head.isEmpty(); head = connection.head()) {
        int size = Integer.parseInt(Connection.value(head, "content-length"));
        byte[] body = connection.in.readNBytes(size);
        connection.respond("", new String(body, StandardCharsets.ISO_8859_1));
      }
    };
  }

  int port() {
    return listener.getLocalPort();
  }

  int accepted() {
    return accepted.get();
  }

  @Override
  public void close() throws IOException {
    listener.close();
    for (Socket socket : open) {
      socket.close();
    }
  }
}
