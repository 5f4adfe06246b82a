// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * The cart: {@code Cart VERSION PORT}. {@code /total} asks the database, everything else does not.
 */
final class Cart {

  private Cart() {}

  public static void main(String[] arguments) throws IOException {
    String version = arguments[0];
    Map<String, String> headers = Map.of("x-version", version, "content-type", "application/json");
    Http.serve(
        Integer.parseInt(arguments[1]),
        (method, path, request) -> {
          if (!path.equals("/total")) {
            return Http.response(200, headers, "{\"items\":3,\"version\":\"" + version + "\"}\n");
          }
          try {
            return Http.response(200, headers, "{\"total\":" + ask("total") + "}\n");
          } catch (IOException e) {
            return Http.response(
                503, headers, "{\"error\":\"database: " + e.getMessage() + "\"}\n");
          }
        });
  }

  /** The database's answer; its address is the service's, as in any shop. */
  private static String ask(String key) throws IOException {
    try (Socket connection = new Socket("10.96.0.20", 5432)) {
      connection.setSoTimeout(5000);
      connection.getOutputStream().write((key + "\n").getBytes(StandardCharsets.UTF_8));
      BufferedReader in =
          new BufferedReader(
              new InputStreamReader(connection.getInputStream(), StandardCharsets.UTF_8));
      String answer = in.readLine();
      if (answer == null) {
        throw new IOException("closed without an answer");
      }
      return answer;
    }
  }
}
