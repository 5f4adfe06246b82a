// SPDX-License-Identifier: Apache-2.0
package dev.weir.node.agent;

import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * A workload that speaks HTTP: 200 with its name, whatever it is asked, and with what it is told of
 * its client's certificate. Says when it listens.
 */
public final class WebServer {

  /** What proxies tell of their client's certificate, and the answer tells them. */
  static final String CERTIFICATE = "x-forwarded-client-cert";

  private WebServer() {}

  /**
   * Serves until it is ended.
   *
   * @param arguments its name, and the ports, on every address
   */
  public static void main(String[] arguments) throws IOException {
    byte[] name = arguments[0].getBytes(StandardCharsets.UTF_8);
    for (int i = 1; i < arguments.length; i++) {
      HttpServer server =
          HttpServer.create(
              new InetSocketAddress(
                  InetAddress.getByAddress(new byte[4]), Integer.parseInt(arguments[i])),
              1024);
      server.createContext(
          "/",
          exchange -> {
            exchange.getRequestBody().readAllBytes();
            List<String> told = exchange.getRequestHeaders().get(CERTIFICATE);
            if (told != null) {
              exchange.getResponseHeaders().put(CERTIFICATE, told);
            }
            exchange.sendResponseHeaders(200, name.length);
            exchange.getResponseBody().write(name);
            exchange.close();
          });
      server.start();
    }
    System.out.println("listening");
  }
}
