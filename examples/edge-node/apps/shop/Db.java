// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** The database: {@code Db PORT [ADDRESS]}. A line with a key in, a line with its value out. */
final class Db {

  private static final Map<String, String> VALUES = Map.of("total", "42", "stock", "7");

  private Db() {}

  public static void main(String[] arguments) throws IOException {
    int port = Integer.parseInt(arguments[0]);
    String address = arguments.length > 1 ? arguments[1] : "127.0.0.1";
    try (ServerSocket server = new ServerSocket(port, 1024, InetAddress.getByName(address))) {
      System.out.println("listening on " + port);
      while (true) {
        Socket connection = server.accept();
        Thread.ofVirtual().start(() -> answer(connection));
      }
    }
  }

  private static void answer(Socket connection) {
    try (connection) {
      BufferedReader in =
          new BufferedReader(
              new InputStreamReader(connection.getInputStream(), StandardCharsets.UTF_8));
      for (String key = in.readLine(); key != null; key = in.readLine()) {
        String value = VALUES.getOrDefault(key, "?");
        connection.getOutputStream().write((value + "\n").getBytes(StandardCharsets.UTF_8));
      }
    } catch (IOException e) {
      // The client went away.
    }
  }
}
