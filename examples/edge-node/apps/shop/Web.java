// SPDX-License-Identifier: Apache-2.0
package shop;

import java.io.IOException;
import java.util.Map;

/** The shop's front: {@code Web PORT}. Every page asks the cart by its service address. */
final class Web {

  private static final String CART = "10.96.0.10";

  private Web() {}

  public static void main(String[] arguments) throws IOException {
    Http.serve(
        Integer.parseInt(arguments[0]),
        (method, path, request) -> {
          try {
            Http.Message cart = Http.get(CART, 80, path);
            return Http.response(
                200,
                Map.of("content-type", "text/plain"),
                "cart " + cart.headers().getOrDefault("x-version", "?") + " said: " + cart.text());
          } catch (IOException e) {
            return Http.response(502, Map.of(), "cart: " + e.getMessage() + "\n");
          }
        });
  }
}
